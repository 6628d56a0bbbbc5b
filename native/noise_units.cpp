// Pixels to noise units and back: a variance-stabilising curve per channel by table, then, for
// three channels, an orthonormal opponent rotation that keeps white noise white.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <vector>

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

// One row; the planes of the result lie `plane` samples apart.
WIDE void to_noise_units(const float* in, std::size_t pixels, int channels, const Curve* curve, float* out,
                         std::size_t plane) {
    if (channels == 1) {
        for (std::size_t i = 0; i < pixels; ++i) out[i] = curve[0](in[i]);
        return;
    }
    for (std::size_t i = 0; i < pixels; ++i) {
        const float r = curve[0](in[3 * i]), g = curve[1](in[3 * i + 1]), b = curve[2](in[3 * i + 2]);
        out[i] = ((r + g) + b) * R3;
        out[plane + i] = (r - b) * R2;
        out[2 * plane + i] = ((r + b) - 2.f * g) * R6;
    }
}

// The first of those planes alone.
WIDE void to_noise_luma(const float* in, std::size_t pixels, int channels, const Curve* curve, float* out) {
    if (channels == 1) {
        for (std::size_t i = 0; i < pixels; ++i) out[i] = curve[0](in[i]);
        return;
    }
    for (std::size_t i = 0; i < pixels; ++i) {
        const float r = curve[0](in[3 * i]), g = curve[1](in[3 * i + 1]), b = curve[2](in[3 * i + 2]);
        out[i] = ((r + g) + b) * R3;
    }
}

// Piecewise linear between knots in float64; beyond them the first and the last value; NaN stays.
// The knots are spaced evenly up to rounding, so the place in them is off by one at most.
struct Knots {
    const double *at, *value, *slope;
    int last;  // number of the last interval
    double first, inverse_step;
    float operator()(float sample) const {
        const double x = sample;
        if (!(x >= at[0])) return x < at[0] ? float(value[0]) : sample;
        if (x >= at[last + 1]) return float(value[last + 1]);
        int i = std::min(int((x - first) * inverse_step), last);
        i += i < last && at[i + 1] <= x;
        i -= i > 0 && at[i] > x;
        return float(slope[i] * (x - at[i]) + value[i]);
    }
};

WIDE void interpolate_row(const float* in, std::size_t pixels, int channels, const Knots* knots, float* out) {
    if (channels == 1) {
        for (std::size_t i = 0; i < pixels; ++i) out[i] = knots[0](in[i]);
        return;
    }
    for (std::size_t i = 0; i < pixels; ++i) {
        out[3 * i] = knots[0](in[3 * i]);
        out[3 * i + 1] = knots[1](in[3 * i + 1]);
        out[3 * i + 2] = knots[2](in[3 * i + 2]);
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

// Pixels (height, width, channel) whose rows need not follow each other: a part of a frame is read
// where it lies. Whatever else is strange of an array is copied first.
struct Rows {
    py::array kept;
    const char* first;
    py::ssize_t height, width, stride;
    int channels;
    explicit Rows(const py::array& given) {
        if (given.ndim() != 3) throw std::invalid_argument("noise units: pixels are (height, width, channel)");
        check_channels(given.shape(2));
        const bool plain = py::isinstance<py::array_t<float>>(given) && given.strides(2) == sizeof(float) &&
                           given.strides(1) == given.shape(2) * py::ssize_t(sizeof(float)) &&
                           given.strides(0) % py::ssize_t(sizeof(float)) == 0;
        kept = plain ? given : py::array(Array::ensure(given));
        if (!kept) throw py::type_error("noise units: pixels are float32");
        first = static_cast<const char*>(kept.data());
        height = kept.shape(0), width = kept.shape(1), stride = kept.strides(0);
        channels = int(kept.shape(2));
    }
    const float* row(py::ssize_t y) const { return reinterpret_cast<const float*>(first + y * stride); }
};

Array encode(py::array pixels, Array tables, Array range) {
    const Rows in(pixels);
    const Curves curves(tables, range, in.channels);
    Array out({py::ssize_t(in.channels), in.height, in.width});
    const std::size_t plane = std::size_t(in.height) * in.width;
    float* o = out.mutable_data();
    py::gil_scoped_release release;
    for (py::ssize_t y = 0; y < in.height; ++y)
        to_noise_units(in.row(y), in.width, in.channels, curves.curve.data(), o + y * in.width, plane);
    return out;
}

Array encode_luma(py::array pixels, Array tables, Array range) {
    const Rows in(pixels);
    const Curves curves(tables, range, in.channels);
    Array out({in.height, in.width});
    float* o = out.mutable_data();
    py::gil_scoped_release release;
    for (py::ssize_t y = 0; y < in.height; ++y)
        to_noise_luma(in.row(y), in.width, in.channels, curves.curve.data(), o + y * in.width);
    return out;
}

using Doubles = py::array_t<double, py::array::c_style>;

Array interpolate(py::array pixels, Doubles at, Doubles values) {
    const Rows in(pixels);
    for (const Doubles& a : {at, values})
        if (a.ndim() != 2 || a.shape(0) != in.channels || a.shape(1) < 2 || a.shape(1) != at.shape(1))
            throw std::invalid_argument("interpolate: knots and values are (channel, knots)");
    const int n = int(at.shape(1));
    std::vector<double> slope(std::size_t(n - 1) * in.channels);
    std::array<Knots, 3> knots{};
    for (int c = 0; c < in.channels; ++c) {
        const double *x = at.data(c, 0), *y = values.data(c, 0);
        double* s = slope.data() + std::size_t(n - 1) * c;
        const double step = (x[n - 1] - x[0]) / (n - 1);
        for (int i = 0; i < n - 1; ++i) {
            // Up to half a step of play the place would still be found.
            if (!(step > 0) || !(std::abs(x[i + 1] - (x[0] + step * (i + 1))) <= 0.125 * step))
                throw std::invalid_argument("interpolate: knots rise evenly");
            s[i] = (y[i + 1] - y[i]) / (x[i + 1] - x[i]);
        }
        knots[c] = {x, y, s, n - 2, x[0], 1.0 / step};
    }
    Array out({in.height, in.width, py::ssize_t(in.channels)});
    float* o = out.mutable_data();
    py::gil_scoped_release release;
    for (py::ssize_t y = 0; y < in.height; ++y)
        interpolate_row(in.row(y), in.width, in.channels, knots.data(), o + y * in.width * in.channels);
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
    m.def("to_noise_luma", &encode_luma, py::arg("pixels"), py::arg("tables"), py::arg("ranges"),
          "The first of the planes that to_noise_units returns, (height, width).");
    m.def("interpolate", &interpolate, py::arg("pixels"), py::arg("knots"), py::arg("values"),
          "Linear between evenly spaced knots, a table for each channel; level beyond them.");
    m.def("from_noise_units", &decode, py::arg("planes"), py::arg("tables"), py::arg("ranges"),
          "The inverse rotation, then a curve per channel.");
}
