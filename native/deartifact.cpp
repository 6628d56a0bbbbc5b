// Removing block coding: shifted 8x8 transforms that drop what quantisation left, and the
// projection of a change onto what the quantiser cannot have hidden.
//
// Every pixel lies in exactly one block of each shift, and shifts are taken in the order given,
// so sums have a fixed order whatever tile they are computed in.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "patch_transforms.hpp"

namespace py = pybind11;

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDE
#endif

namespace {

using Array = py::array_t<float, py::array::c_style | py::array::forcecast>;

[[noreturn]] void refuse(const char* text) { throw std::invalid_argument(text); }

// First coordinate at or after 0 that is congruent to `anchor` modulo 8.
int first_block(int anchor) { return ((anchor % P) + P) % P; }

WIDE void shrink_shift(const float* in, int w, int h, int x0, int y0, const float* threshold,
                       const float* scale, int scales, float* sum, float* weight) {
    alignas(64) float patch[PP], spectrum[PP], kept[PP];
    const std::ptrdiff_t size = std::ptrdiff_t(w) * h;
    for (int y = y0; y + P <= h; y += P)
        for (int x = x0; x + P <= w; x += P) {
            const std::ptrdiff_t o = std::ptrdiff_t(y) * w + x;
            for (int j = 0; j < P; ++j)
                for (int i = 0; i < P; ++i) patch[j * P + i] = in[o + std::ptrdiff_t(j) * w + i];
            dct2(patch, spectrum);
            for (int s = 0; s < scales; ++s) {
                int count = 1;
                kept[0] = spectrum[0];
                for (int k = 1; k < PP; ++k) {
                    const bool keep = std::fabs(spectrum[k]) > threshold[k] * scale[s];
                    kept[k] = keep ? spectrum[k] : 0.f;
                    count += keep ? 1 : 0;
                }
                idct2(kept, patch);
                // A block that needs few samples describes its place well: it weighs more.
                const float share = 1.f / float(count);
                float* out = sum + size * s + o;
                float* total = weight + size * s + o;
                for (int j = 0; j < P; ++j)
                    for (int i = 0; i < P; ++i) {
                        out[std::ptrdiff_t(j) * w + i] += share * patch[j * P + i];
                        total[std::ptrdiff_t(j) * w + i] += share;
                    }
            }
        }
}

// (height, width) -> (scale, height, width). Blocks start where (x - anchor_x - dx) % 8 == 0.
// Pixels that no whole block covers keep their value.
Array shrink_blocks(Array plane, std::array<int, 2> anchor, const std::vector<std::array<int, 2>>& shifts,
                    Array threshold, const std::vector<float>& scale) {
    if (plane.ndim() != 2) refuse("shrink_blocks: plane is (height, width)");
    if (threshold.size() != PP) refuse("shrink_blocks: threshold has 64 samples");
    if (shifts.empty() || scale.empty()) refuse("shrink_blocks: a shift and a scale are needed");
    const int h = int(plane.shape(0)), w = int(plane.shape(1)), n = int(scale.size());
    Array out({n, h, w});
    const float *in = plane.data(), *limit = threshold.data();
    float* o = out.mutable_data();
    {
        py::gil_scoped_release release;
        const std::ptrdiff_t size = std::ptrdiff_t(h) * w;
        std::vector<float> weight(size * n, 0.f);
        std::fill(o, o + size * n, 0.f);
        for (const auto& s : shifts)
            shrink_shift(in, w, h, first_block(anchor[0] + s[0]), first_block(anchor[1] + s[1]), limit,
                         scale.data(), n, o, weight.data());
        for (std::ptrdiff_t k = 0; k < n; ++k)
            for (std::ptrdiff_t i = 0; i < size; ++i) {
                const float total = weight[k * size + i];
                o[k * size + i] = total > 0.f ? o[k * size + i] / total : in[i];
            }
    }
    return out;
}

// Limit each 8x8 DCT sample of a change to +-limit, on the grid that the codec used. Pixels that
// no whole block covers keep their change.
Array limit_blocks(Array change, std::array<int, 2> anchor, Array limit) {
    if (change.ndim() != 2) refuse("limit_blocks: change is (height, width)");
    if (limit.size() != PP) refuse("limit_blocks: limit has 64 samples");
    const int h = int(change.shape(0)), w = int(change.shape(1));
    Array out({h, w});
    const float *in = change.data(), *most = limit.data();
    float* o = out.mutable_data();
    {
        py::gil_scoped_release release;
        std::copy(in, in + std::ptrdiff_t(h) * w, o);
        alignas(64) float patch[PP], spectrum[PP];
        for (int y = first_block(anchor[1]); y + P <= h; y += P)
            for (int x = first_block(anchor[0]); x + P <= w; x += P) {
                const std::ptrdiff_t at = std::ptrdiff_t(y) * w + x;
                for (int j = 0; j < P; ++j)
                    for (int i = 0; i < P; ++i) patch[j * P + i] = in[at + std::ptrdiff_t(j) * w + i];
                dct2(patch, spectrum);
                for (int k = 0; k < PP; ++k) spectrum[k] = std::min(std::max(spectrum[k], -most[k]), most[k]);
                idct2(spectrum, patch);
                for (int j = 0; j < P; ++j)
                    for (int i = 0; i < P; ++i) o[at + std::ptrdiff_t(j) * w + i] = patch[j * P + i];
            }
    }
    return out;
}

}  // namespace

void bind_deartifact(py::module_& m) {
    m.def("shrink_blocks", &shrink_blocks, py::arg("plane"), py::arg("anchor"), py::arg("shifts"),
          py::arg("threshold"), py::arg("scale"),
          "Drop 8x8 DCT samples below scale * threshold, averaged over shifts of the block grid.");
    m.def("limit_blocks", &limit_blocks, py::arg("change"), py::arg("anchor"), py::arg("limit"),
          "Limit the 8x8 DCT samples of a change.");
}
