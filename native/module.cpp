// Binds the native parts of wetgate. Each part declares one `bind_*` function.
#include <pybind11/pybind11.h>

namespace py = pybind11;

void bind_collaborate(py::module_&);
void bind_deartifact(py::module_&);
void bind_dpx(py::module_&);
void bind_evidence(py::module_&);
void bind_frame_bridge(py::module_&);
void bind_frames(py::module_&);
void bind_fusion(py::module_&);
void bind_noise_units(py::module_&);
void bind_repair(py::module_&);

PYBIND11_MODULE(_native, m) {
    m.doc() = "Hot loops of wetgate: frame packing and patch-based restoration.";
    bind_collaborate(m);
    bind_deartifact(m);
    bind_dpx(m);
    bind_evidence(m);
    bind_frame_bridge(m);
    bind_frames(m);
    bind_fusion(m);
    bind_noise_units(m);
    bind_repair(m);
}
