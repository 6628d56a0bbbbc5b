// Compare the rim of a defect with a neighboring frame at many displacements, and read between
// pixels. Samples are taken one by one in a fixed order, so the result for a pixel does not depend
// on the others that are asked for.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace py = pybind11;

namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Doubles = py::array_t<double, py::array::c_style>;
using Places = py::array_t<std::int32_t, py::array::c_style>;
using Marks = py::array_t<std::uint8_t, py::array::c_style>;

constexpr int MOST_CHANNELS = 4;

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

void check_pixels(const Floats& pixels, const char* who) {
    if (pixels.ndim() != 3 || pixels.shape(2) < 1 || pixels.shape(2) > MOST_CHANNELS ||
        pixels.size() == 0)
        refuse(std::string(who) + ": pixels must be (height, width, 1 to 4), not empty");
}

// Mean square of what is left of the rim at each whole displacement, in units of the noise and
// less a constant offset per channel; infinite where too little of the rim can be compared.
Doubles rim_errors(const Floats& there, const Marks& dirty, const Places& y, const Places& x,
                   const Doubles& own, const Doubles& sigma, const Places& shifts, double least,
                   double bound) {
    check_pixels(there, "rim_errors");
    const int height = int(there.shape(0)), width = int(there.shape(1)), count = int(there.shape(2));
    const py::ssize_t n = y.size();
    if (dirty.ndim() != 2 || dirty.shape(0) != height || dirty.shape(1) != width)
        refuse("rim_errors: the marks must have the size of the frame");
    if (x.size() != n || own.ndim() != 2 || own.shape(0) != n || own.shape(1) != count)
        refuse("rim_errors: places and samples of the rim must be as many");
    if (sigma.size() != count || shifts.ndim() != 2 || shifts.shape(1) != 2)
        refuse("rim_errors: sigma must be (channel,), shifts (trial, 2)");
    const py::ssize_t trials = shifts.shape(0);
    Doubles out(trials);
    double* errors = out.mutable_data();
    const float* pixels = there.data();
    const std::uint8_t* marks = dirty.data();
    const std::int32_t *ys = y.data(), *xs = x.data(), *moved = shifts.data();
    const double *rim = own.data(), *deviation = sigma.data();
    py::gil_scoped_release release;
    std::vector<double> change(std::size_t(n) * count);
    for (py::ssize_t t = 0; t < trials; ++t) {
        double mean[MOST_CHANNELS] = {};
        py::ssize_t kept = 0;
        for (py::ssize_t i = 0; i < n; ++i) {
            const int ty = ys[i] + moved[2 * t + 1], tx = xs[i] + moved[2 * t];
            if (ty < 0 || tx < 0 || ty >= height || tx >= width) continue;
            const std::ptrdiff_t at = std::ptrdiff_t(ty) * width + tx;
            if (marks[at] == 1) continue;
            for (int c = 0; c < count; ++c) {
                const double d = pixels[at * count + c] / deviation[c] - rim[i * count + c];
                change[kept * count + c] = d;
                mean[c] += d;
            }
            ++kept;
        }
        if (kept < least * double(n) || kept == 0) {
            errors[t] = std::numeric_limits<double>::infinity();
            continue;
        }
        for (int c = 0; c < count; ++c) mean[c] /= double(kept);
        double sum = 0;
        for (py::ssize_t i = 0; i < kept; ++i)
            for (int c = 0; c < count; ++c) {
                const double d = change[i * count + c] - mean[c];
                sum += std::min(d * d, bound);
            }
        errors[t] = sum / double(kept * count);
    }
    return out;
}

// Lanczos-windowed sinc of `taps` taps about a fraction of a pixel, of sum 1.
void kernel(double fraction, int taps, double* out) {
    const double pi = 3.14159265358979323846;
    double sum = 0;
    for (int k = 0; k < taps; ++k) {
        const double t = (k - (taps / 2 - 1)) - fraction, half = taps / 2;
        const double a = pi * t, b = pi * t / half;
        out[k] = t == 0 ? 1.0 : std::abs(t) >= half ? 0.0 : std::sin(a) / a * std::sin(b) / b;
        sum += out[k];
    }
    for (int k = 0; k < taps; ++k) out[k] /= sum;
}

// Samples (n, channel) at places between pixels, held within the 4 x 4 samples around.
Floats read_between(const Floats& source, const Doubles& y, const Doubles& x, int taps) {
    check_pixels(source, "read_between");
    if (taps < 4 || taps > 16 || taps % 2) refuse("read_between: taps must be even, 4 to 16");
    if (x.size() != y.size()) refuse("read_between: as many x as y are needed");
    const int height = int(source.shape(0)), width = int(source.shape(1)), count = int(source.shape(2));
    const py::ssize_t n = y.size();
    Floats out({n, py::ssize_t(count)});
    float* values = out.mutable_data();
    const float* pixels = source.data();
    const double *ys = y.data(), *xs = x.data();
    py::gil_scoped_release release;
    double ky[16], kx[16];
    const int before = taps / 2 - 1;
    for (py::ssize_t i = 0; i < n; ++i) {
        const double fy = std::floor(std::clamp(ys[i], -1e6, 1e6));
        const double fx = std::floor(std::clamp(xs[i], -1e6, 1e6));
        kernel(std::clamp(ys[i] - fy, 0.0, 1.0), taps, ky);
        kernel(std::clamp(xs[i] - fx, 0.0, 1.0), taps, kx);
        double sum[MOST_CHANNELS] = {};
        float low[MOST_CHANNELS], high[MOST_CHANNELS];
        std::fill(low, low + MOST_CHANNELS, std::numeric_limits<float>::infinity());
        std::fill(high, high + MOST_CHANNELS, -std::numeric_limits<float>::infinity());
        for (int a = 0; a < taps; ++a) {
            const int row = std::clamp(int(fy) + a - before, 0, height - 1);
            const bool near_row = a >= before - 1 && a <= before + 2;
            double line[MOST_CHANNELS] = {};
            for (int b = 0; b < taps; ++b) {
                const int column = std::clamp(int(fx) + b - before, 0, width - 1);
                const float* p = pixels + (std::ptrdiff_t(row) * width + column) * count;
                const bool near = near_row && b >= before - 1 && b <= before + 2;
                for (int c = 0; c < count; ++c) {
                    line[c] += kx[b] * p[c];
                    if (near) {
                        low[c] = std::min(low[c], p[c]);
                        high[c] = std::max(high[c], p[c]);
                    }
                }
            }
            for (int c = 0; c < count; ++c) sum[c] += ky[a] * line[c];
        }
        for (int c = 0; c < count; ++c)
            values[i * count + c] = std::clamp(float(sum[c]), low[c], high[c]);
    }
    return out;
}

}  // namespace

void bind_repair(py::module_& m) {
    m.def("rim_errors", &rim_errors, py::arg("there"), py::arg("dirty"), py::arg("y"), py::arg("x"),
          py::arg("own"), py::arg("sigma"), py::arg("shifts"), py::arg("least"), py::arg("bound"),
          "Mean square that each displacement (x, y) leaves of a rim, in units of the noise.");
    m.def("read_between", &read_between, py::arg("source"), py::arg("y"), py::arg("x"),
          py::arg("taps"), "Read between pixels by a windowed sinc, held within the 4 x 4 around.");
}
