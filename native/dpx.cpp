// DPX sample packing and unpacking.
#include <pybind11/pybind11.h>

void bind_dpx(pybind11::module_&) {}
