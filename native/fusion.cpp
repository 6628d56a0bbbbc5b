// Motion-compensated fusion: the guide that patches are matched on, and the last pass.
//
// Every neighbor is warped onto the center by its optical flow (cubic convolution) and averaged
// in, pixel by pixel, with a weight that falls where the two pictures differ by more than their
// noise over a 7x7 neighborhood. Sums have a fixed order, so the result does not depend on the
// tile it is computed in.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
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
using Flow = py::array_t<std::int16_t, py::array::c_style>;

constexpr float FLOW_UNIT = 1.f / 32.f;  // px in one count of a stored flow
constexpr int BOX = 3;                   // radius of the neighborhood that decides a weight, px

struct Rect {
    int x0, y0, x1, y1;
};

// 3x3 binomial low-pass inside `r`, edges replicated.
WIDE void binomial(const float* in, float* out, float* row, int stride, Rect r) {
    for (int y = r.y0; y < r.y1; ++y) {
        const float* a = in + std::ptrdiff_t(std::max(y - 1, r.y0)) * stride;
        const float* b = in + std::ptrdiff_t(y) * stride;
        const float* c = in + std::ptrdiff_t(std::min(y + 1, r.y1 - 1)) * stride;
        for (int x = r.x0; x < r.x1; ++x) row[x] = 0.25f * (a[x] + c[x]) + 0.5f * b[x];
        float* o = out + std::ptrdiff_t(y) * stride;
        for (int x = r.x0 + 1; x < r.x1 - 1; ++x)
            o[x] = 0.25f * (row[x - 1] + row[x + 1]) + 0.5f * row[x];
        const int first = r.x0, last = r.x1 - 1;
        o[first] = 0.25f * (row[first] + row[std::min(first + 1, last)]) + 0.5f * row[first];
        o[last] = 0.25f * (row[std::max(last - 1, first)] + row[last]) + 0.5f * row[last];
    }
}

// Mean over (2 BOX + 1)^2 px inside `r`, edges replicated; direct sums, since running sums
// would round differently in every tile.
WIDE void box_mean(const float* in, float* out, float* column, int stride, Rect r) {
    constexpr float scale = 1.f / ((2 * BOX + 1) * (2 * BOX + 1));
    for (int y = r.y0; y < r.y1; ++y) {
        for (int x = r.x0; x < r.x1; ++x) column[x] = 0.f;
        for (int d = -BOX; d <= BOX; ++d) {
            const float* p = in + std::ptrdiff_t(std::clamp(y + d, r.y0, r.y1 - 1)) * stride;
            for (int x = r.x0; x < r.x1; ++x) column[x] += p[x];
        }
        float* o = out + std::ptrdiff_t(y) * stride;
        const int in0 = std::min(r.x0 + BOX, r.x1), in1 = std::max(r.x1 - BOX, in0);
        const auto slow = [&](int x) {
            float s = 0.f;
            for (int d = -BOX; d <= BOX; ++d) s += column[std::clamp(x + d, r.x0, r.x1 - 1)];
            o[x] = s * scale;
        };
        for (int x = r.x0; x < in0; ++x) slow(x);
        for (int x = in0; x < in1; ++x) {
            float s = 0.f;
            for (int d = -BOX; d <= BOX; ++d) s += column[x + d];
            o[x] = s * scale;
        }
        for (int x = in1; x < r.x1; ++x) slow(x);
    }
}

inline void cubic(float t, float (&w)[4]) {  // Keys, a = -0.5
    const float t2 = t * t, t3 = t2 * t;
    w[0] = -0.5f * t3 + t2 - 0.5f * t;
    w[1] = 1.5f * t3 - 2.5f * t2 + 1.f;
    w[2] = -1.5f * t3 + 2.f * t2 + 0.5f * t;
    w[3] = 0.5f * t3 - 0.5f * t2;
}

struct FlowField {
    const std::int16_t* data;
    int width, height, scale;  // one sample covers scale x scale px of the frame
};

// Warp `planes` planes of `size` samples onto the center; `ok` is 0 where the flow leaves the frame
// or the allowed reach. Where a pixel comes from is found once for all planes.
WIDE void warp(const float* in, int planes, std::size_t size, int stride, Rect region, Rect frame,
               int origin_x, int origin_y, FlowField flow, float reach, float* out, float* ok) {
    const float inv = 1.f / float(flow.scale);
    for (int y = frame.y0; y < frame.y1; ++y) {
        const float v = (float(y + origin_y) + 0.5f) * inv - 0.5f;
        const float vf = std::floor(v), vt = v - vf;
        const int v0 = std::clamp(int(vf), 0, flow.height - 1);
        const int v1 = std::clamp(int(vf) + 1, 0, flow.height - 1);
        for (int x = frame.x0; x < frame.x1; ++x) {
            const float u = (float(x + origin_x) + 0.5f) * inv - 0.5f;
            const float uf = std::floor(u), ut = u - uf;
            const int u0 = std::clamp(int(uf), 0, flow.width - 1);
            const int u1 = std::clamp(int(uf) + 1, 0, flow.width - 1);
            float d[2];
            for (int i = 0; i < 2; ++i) {
                const auto at = [&](int a, int b) {
                    return float(flow.data[(std::ptrdiff_t(b) * flow.width + a) * 2 + i]);
                };
                const float top = at(u0, v0) * (1.f - ut) + at(u1, v0) * ut;
                const float bottom = at(u0, v1) * (1.f - ut) + at(u1, v1) * ut;
                d[i] = (top * (1.f - vt) + bottom * vt) * FLOW_UNIT;
            }
            const float tx = float(x) + d[0], ty = float(y) + d[1];
            const std::ptrdiff_t o = std::ptrdiff_t(y) * stride + x;
            const bool inside = std::abs(d[0]) <= reach && std::abs(d[1]) <= reach &&
                                tx >= float(frame.x0) && tx <= float(frame.x1 - 1) &&
                                ty >= float(frame.y0) && ty <= float(frame.y1 - 1);
            ok[o] = inside ? 1.f : 0.f;
            if (!inside) {
                for (int k = 0; k < planes; ++k) out[size * k + o] = in[size * k + o];
                continue;
            }
            const float fx = std::floor(tx), fy = std::floor(ty);
            float wx[4], wy[4];
            cubic(tx - fx, wx);
            cubic(ty - fy, wy);
            int xx[4];
            for (int i = 0; i < 4; ++i)
                xx[i] = std::clamp(int(fx) + i - 1, region.x0, region.x1 - 1);
            for (int k = 0; k < planes; ++k) {
                float sum = 0.f;
                for (int j = 0; j < 4; ++j) {
                    const int yy = std::clamp(int(fy) + j - 1, region.y0, region.y1 - 1);
                    const float* p = in + size * k + std::ptrdiff_t(yy) * stride;
                    float s = 0.f;
                    for (int i = 0; i < 4; ++i) s += wx[i] * p[xx[i]];
                    sum += wy[j] * s;
                }
                out[size * k + o] = sum;
            }
        }
    }
}

WIDE void square_difference(const float* a, const float* b, float* out, int stride, Rect r) {
    for (int y = r.y0; y < r.y1; ++y)
        for (int x = r.x0; x < r.x1; ++x) {
            const std::ptrdiff_t o = std::ptrdiff_t(y) * stride + x;
            const float d = b[o] - a[o];
            out[o] = d * d;
        }
}

// The weight of a warped pixel, from the mean squared error around it.
WIDE void trust(const float* ok, const float* error, float floor_error, float* share, float* weight,
                int stride, Rect r) {
    for (int y = r.y0; y < r.y1; ++y)
        for (int x = r.x0; x < r.x1; ++x) {
            const std::ptrdiff_t o = std::ptrdiff_t(y) * stride + x;
            const float excess = std::max(error[o] / floor_error - 1.f, 0.f);
            // 1 + e + e^2/2: close to exp(e), the same bits on every libm.
            const float w = ok[o] / (1.f + excess + 0.5f * excess * excess);
            share[o] = w;
            weight[o] += w;
        }
}

WIDE void accumulate(const float* warped, const float* share, float* sum, int stride, Rect r) {
    for (int y = r.y0; y < r.y1; ++y)
        for (int x = r.x0; x < r.x1; ++x) {
            const std::ptrdiff_t o = std::ptrdiff_t(y) * stride + x;
            sum[o] += share[o] * warped[o];
        }
}

[[noreturn]] void refuse(const char* text) { throw std::invalid_argument(text); }

Rect clip(const std::array<int, 4>& frame, int w, int h) {
    return {std::max(frame[0], 0), std::max(frame[1], 0), std::min(frame[2], w), std::min(frame[3], h)};
}

Array lowpass(Array plane, std::array<int, 4> frame) {
    if (plane.ndim() != 2) refuse("lowpass: plane is (height, width)");
    const int h = int(plane.shape(0)), w = int(plane.shape(1));
    const Rect r = clip(frame, w, h);
    if (r.x0 >= r.x1 || r.y0 >= r.y1) refuse("lowpass: the region misses the frame");
    Array out({h, w});
    const float* in = plane.data();
    float* o = out.mutable_data();
    py::gil_scoped_release release;
    std::copy(in, in + std::ptrdiff_t(h) * w, o);
    std::vector<float> row(w);
    binomial(in, o, row.data(), w, r);
    return out;
}

Array fuse(const std::vector<py::object>& planes, const std::vector<py::object>& flow,
           std::array<int, 4> frame, std::array<int, 2> origin, int flow_scale, float reach,
           float floor_error) {
    const int n = int(planes.size()), center = n / 2;
    if (n % 2 == 0 || flow.size() != planes.size())
        refuse("fuse: planes and flow need one entry a frame, an odd number");
    if (flow_scale < 1 || !(floor_error > 0.f)) refuse("fuse: scale and noise must be positive");
    auto middle = py::cast<Array>(planes[center]);
    if (middle.ndim() != 3 || middle.shape(0) < 1) refuse("fuse: planes are (channel, height, width)");
    const int channels = int(middle.shape(0)), h = int(middle.shape(1)), w = int(middle.shape(2));
    const Rect r = clip(frame, w, h), region{0, 0, w, h};
    if (r.x0 >= r.x1 || r.y0 >= r.y1) refuse("fuse: the region misses the frame");
    struct Source {
        const float* planes;
        FlowField flow;
    };
    std::vector<Source> sources;
    std::vector<Array> keep;
    std::vector<Flow> keep_flow;
    for (int k = 0; k < n; ++k) {
        if (k == center || planes[k].is_none() || flow[k].is_none()) continue;
        auto a = py::cast<Array>(planes[k]);
        auto f = py::cast<Flow>(flow[k]);
        if (a.ndim() != 3 || a.shape(0) != channels || a.shape(1) != h || a.shape(2) != w)
            refuse("fuse: frames differ in shape");
        if (f.ndim() != 3 || f.shape(2) != 2 || f.shape(0) < 1 || f.shape(1) < 1)
            refuse("fuse: flow is int16 (rows, columns, 2)");
        sources.push_back({a.data(), {f.data(), int(f.shape(1)), int(f.shape(0)), flow_scale}});
        keep.push_back(std::move(a));
        keep_flow.push_back(std::move(f));
    }
    Array out({channels, h, w});
    const float* c = middle.data();
    float* o = out.mutable_data();
    {
        py::gil_scoped_release release;
        const std::size_t size = std::size_t(h) * w;
        std::vector<float> warped(size * channels), ok(size), low(size), center_low(size), error(size), share(size),
            weight(size, 1.f), row(w);
        std::copy(c, c + size * channels, o);
        binomial(c, center_low.data(), row.data(), w, r);
        for (const Source& s : sources) {
            // Luma, the first plane, decides for all.
            warp(s.planes, channels, size, w, region, r, origin[0], origin[1], s.flow, reach, warped.data(),
                 ok.data());
            binomial(warped.data(), low.data(), row.data(), w, r);
            square_difference(center_low.data(), low.data(), error.data(), w, r);
            box_mean(error.data(), low.data(), row.data(), w, r);
            trust(ok.data(), low.data(), floor_error, share.data(), weight.data(), w, r);
            for (int k = 0; k < channels; ++k)
                accumulate(warped.data() + size * k, share.data(), o + size * k, w, r);
        }
        for (int k = 0; k < channels; ++k)
            for (std::size_t i = 0; i < size; ++i) o[size * k + i] /= weight[i];
    }
    return out;
}

py::tuple warp_planes(Array planes, Flow flow, std::array<int, 4> frame, std::array<int, 2> origin,
                      int flow_scale, float reach) {
    if (planes.ndim() != 3) refuse("warp: planes are (channel, height, width)");
    if (flow.ndim() != 3 || flow.shape(2) != 2 || flow.shape(0) < 1 || flow.shape(1) < 1)
        refuse("warp: flow is int16 (rows, columns, 2)");
    if (flow_scale < 1) refuse("warp: scale must be positive");
    const int channels = int(planes.shape(0)), h = int(planes.shape(1)), w = int(planes.shape(2));
    const Rect r = clip(frame, w, h), region{0, 0, w, h};
    if (r.x0 >= r.x1 || r.y0 >= r.y1) refuse("warp: the region misses the frame");
    const FlowField field{flow.data(), int(flow.shape(1)), int(flow.shape(0)), flow_scale};
    Array out({channels, h, w}), ok({h, w});
    const float* in = planes.data();
    float *o = out.mutable_data(), *seen = ok.mutable_data();
    {
        py::gil_scoped_release release;
        const std::size_t size = std::size_t(h) * w;
        std::copy(in, in + size * channels, o);
        std::fill(seen, seen + size, 0.f);
        warp(in, channels, size, w, region, r, origin[0], origin[1], field, reach, o, seen);
    }
    return py::make_tuple(out, ok);
}

}  // namespace

void bind_fusion(py::module_& m) {
    m.def("lowpass", &lowpass, py::arg("plane"), py::arg("frame"),
          "3x3 binomial low-pass of (height, width) inside the frame.");
    m.def("fuse", &fuse, py::arg("planes"), py::arg("flow"), py::arg("frame"), py::arg("origin"),
          py::arg("flow_scale"), py::arg("reach"), py::arg("floor_error"),
          "Average the warped neighbors into the center where they agree.");
    m.def("warp", &warp_planes, py::arg("planes"), py::arg("flow"), py::arg("frame"), py::arg("origin"),
          py::arg("flow_scale"), py::arg("reach"),
          "Warp planes onto the frame that the flow starts from; 0 where they cannot be seen there.");
}
