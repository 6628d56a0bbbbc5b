// Pixels to noise units and back: a variance-stabilising curve per channel by table, then, for
// three channels, an orthonormal opponent rotation that keeps white noise white.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace py = pybind11;

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDE
#endif

namespace {

using Array = py::array_t<float, py::array::c_style>;

// Rows of the rotation: luma, red against blue, green against both.
const float R3 = float(1.0 / std::sqrt(3.0)), R2 = float(1.0 / std::sqrt(2.0)), R6 = float(1.0 / std::sqrt(6.0));

// Piecewise linear curve on uniform knots; straight lines continue it on both sides.
struct Curve {
    const float* value;
    int count;
    float lo, inverse_step;
    float operator()(float x) const {
        const float t = (x - lo) * inverse_step;
        // This order of arguments turns NaN (of values that overflowed) into 0, a valid index.
        const int i = int(std::min(std::max(0.f, t), float(count - 2)));
        return value[i] + (value[i + 1] - value[i]) * (t - float(i));
    }
};

WIDE void to_noise_units(const float* in, std::size_t pixels, int channels, const Curve* curve, float* out) {
    if (channels == 1) {
        for (std::size_t i = 0; i < pixels; ++i) out[i] = curve[0](in[i]);
        return;
    }
    for (std::size_t i = 0; i < pixels; ++i) {
        const float r = curve[0](in[3 * i]), g = curve[1](in[3 * i + 1]), b = curve[2](in[3 * i + 2]);
        out[i] = ((r + g) + b) * R3;
        out[pixels + i] = (r - b) * R2;
        out[2 * pixels + i] = ((r + b) - 2.f * g) * R6;
    }
}

WIDE void from_noise_units(const float* in, std::size_t pixels, int channels, const Curve* curve, float* out) {
    if (channels == 1) {
        for (std::size_t i = 0; i < pixels; ++i) out[i] = curve[0](in[i]);
        return;
    }
    for (std::size_t i = 0; i < pixels; ++i) {
        const float l = in[i] * R3, p = in[pixels + i] * R2, q = in[2 * pixels + i] * R6;
        out[3 * i] = curve[0]((l + p) + q);
        out[3 * i + 1] = curve[1](l - 2.f * q);
        out[3 * i + 2] = curve[2]((l - p) + q);
    }
}

struct Curves {
    std::array<Curve, 3> curve;
    Curves(const Array& tables, const Array& range, int channels) {
        if (tables.ndim() != 2 || tables.shape(0) != channels || tables.shape(1) < 2)
            throw std::invalid_argument("noise units: tables are (channel, knots)");
        if (range.ndim() != 2 || range.shape(0) != channels || range.shape(1) != 2)
            throw std::invalid_argument("noise units: ranges are (channel, 2)");
        const int n = int(tables.shape(1));
        for (int c = 0; c < channels; ++c) {
            const float lo = range.at(c, 0), hi = range.at(c, 1);
            if (!(hi > lo)) throw std::invalid_argument("noise units: empty range");
            curve[c] = {tables.data(c, 0), n, lo, float(n - 1) / (hi - lo)};
        }
    }
};

void check_channels(py::ssize_t n) {
    if (n != 1 && n != 3) throw std::invalid_argument("noise units: one or three channels");
}

Array encode(Array pixels, Array tables, Array range) {
    if (pixels.ndim() != 3) throw std::invalid_argument("noise units: pixels are (height, width, channel)");
    check_channels(pixels.shape(2));
    const int channels = int(pixels.shape(2));
    const Curves curves(tables, range, channels);
    Array out({pixels.shape(2), pixels.shape(0), pixels.shape(1)});
    const std::size_t n = std::size_t(pixels.shape(0)) * pixels.shape(1);
    const float* in = pixels.data();
    float* o = out.mutable_data();
    py::gil_scoped_release release;
    to_noise_units(in, n, channels, curves.curve.data(), o);
    return out;
}

Array decode(Array planes, Array tables, Array range) {
    if (planes.ndim() != 3) throw std::invalid_argument("noise units: planes are (channel, height, width)");
    check_channels(planes.shape(0));
    const int channels = int(planes.shape(0));
    const Curves curves(tables, range, channels);
    Array out({planes.shape(1), planes.shape(2), planes.shape(0)});
    const std::size_t n = std::size_t(planes.shape(1)) * planes.shape(2);
    const float* in = planes.data();
    float* o = out.mutable_data();
    py::gil_scoped_release release;
    from_noise_units(in, n, channels, curves.curve.data(), o);
    return out;
}

}  // namespace

void bind_noise_units(py::module_& m) {
    m.def("to_noise_units", &encode, py::arg("pixels"), py::arg("tables"), py::arg("ranges"),
          "Pixels (height, width, channel) to planes (channel, height, width) of unit noise.");
    m.def("from_noise_units", &decode, py::arg("planes"), py::arg("tables"), py::arg("ranges"),
          "The inverse rotation, then a curve per channel.");
}
