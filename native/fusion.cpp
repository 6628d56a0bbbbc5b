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

#if defined(_MSC_VER)
#define ALONE __restrict
#else
#define ALONE __restrict__
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

struct FlowField {
    const std::int16_t* data;
    int width, height, scale;  // one sample covers scale x scale px of the frame
};

// One row of a warp: where each px comes from, found for all of them in lanes before any is read.
struct RowOfPlaces {
    std::vector<int> left, right;                // samples of the flow that lie about a px
    std::vector<float> along;                    // and how far it lies between them
    std::vector<float> top[2], bottom[2];        // displacement on the flow's rows above and below
    int top_row = -1, bottom_row = -1;           // which rows those are
    std::vector<float> from_x, from_y;           // region coordinates that a px comes from
    std::vector<float> wx, wy;                   // four weights of the kernel for each px
    std::vector<int> first_x, first_y;           // its first sample
    std::vector<int> inside, clear;              // whether the px can be seen; all samples exist

    explicit RowOfPlaces(int n) : left(n), right(n), along(n), from_x(n), from_y(n), wx(4 * n), wy(4 * n), first_x(n), first_y(n), inside(n), clear(n) {
        for (auto* lines : {top, bottom})
            for (int i = 0; i < 2; ++i) lines[i].resize(n);
    }
};

// Displacement along one row of the flow, between its samples.
WIDE void spread_flow(const std::int16_t* flow, const int* left, const int* right, const float* along, int n,
                      float* ALONE dx, float* ALONE dy) {
    for (int x = 0; x < n; ++x) {
        const int a = 2 * left[x], b = 2 * right[x];
        const float t = along[x];
        dx[x] = float(flow[a]) * (1.f - t) + float(flow[b]) * t;
        dy[x] = float(flow[a + 1]) * (1.f - t) + float(flow[b + 1]) * t;
    }
}

WIDE void place_row(const float* const (&top)[2], const float* const (&bottom)[2], float vt, int x0, int n, int y,
                    Rect frame, float reach, float* ALONE from_x, float* ALONE from_y, int* ALONE inside,
                    float* ALONE ok) {
    const float low_x = float(frame.x0), high_x = float(frame.x1 - 1);
    const float low_y = float(frame.y0), high_y = float(frame.y1 - 1);
    for (int x = 0; x < n; ++x) {
        const float dx = (top[0][x] * (1.f - vt) + bottom[0][x] * vt) * FLOW_UNIT;
        const float dy = (top[1][x] * (1.f - vt) + bottom[1][x] * vt) * FLOW_UNIT;
        const float tx = float(x0 + x) + dx, ty = float(y) + dy;
        const int seen = int(std::abs(dx) <= reach) & int(std::abs(dy) <= reach) & int(tx >= low_x) &
                         int(tx <= high_x) & int(ty >= low_y) & int(ty <= high_y);
        from_x[x] = tx;
        from_y[x] = ty;
        inside[x] = seen;
        ok[x] = float(seen);
    }
}

// The kernel's weights at every place, and its first sample.
WIDE void weigh_row(const float* from, int n, int* ALONE first, float* ALONE weights) {
    for (int x = 0; x < n; ++x) {
        const float whole = std::floor(from[x]), t = from[x] - whole;
        const float t2 = t * t, t3 = t2 * t;  // Keys, a = -0.5
        float* w = weights + 4 * x;
        w[0] = -0.5f * t3 + t2 - 0.5f * t;
        w[1] = 1.5f * t3 - 2.5f * t2 + 1.f;
        w[2] = -1.5f * t3 + 2.f * t2 + 0.5f * t;
        w[3] = 0.5f * t3 - 0.5f * t2;
        first[x] = int(whole) - 1;
    }
}

WIDE void clear_row(const int* first_x, const int* first_y, const int* inside, int n, Rect region, int* ALONE clear) {
    const int last_x = region.x1 - 4, last_y = region.y1 - 4;
    for (int x = 0; x < n; ++x)
        clear[x] = inside[x] & int(first_x[x] >= region.x0) & int(first_x[x] <= last_x) &
                   int(first_y[x] >= region.y0) & int(first_y[x] <= last_y);
}

// Weigh 4 x 4 samples whose rows lie `stride` apart: each row first, then the rows; in order.
#if defined(__GNUC__) && (defined(__clang__) || __GNUC__ >= 12)
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

inline __attribute__((always_inline)) float weighed(const float* p, std::ptrdiff_t stride, const float* wx,
                                                    const float* wy) {
    // Rows become lanes.
    const Four a = *reinterpret_cast<const Four*>(p), b = *reinterpret_cast<const Four*>(p + stride);
    const Four c = *reinterpret_cast<const Four*>(p + 2 * stride), d = *reinterpret_cast<const Four*>(p + 3 * stride);
    const Four q = __builtin_shufflevector(a, b, 0, 4, 1, 5), r = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const Four s = __builtin_shufflevector(a, b, 2, 6, 3, 7), t = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    Four sum = {0.f, 0.f, 0.f, 0.f};
    sum += wx[0] * __builtin_shufflevector(q, r, 0, 1, 4, 5);
    sum += wx[1] * __builtin_shufflevector(q, r, 2, 3, 6, 7);
    sum += wx[2] * __builtin_shufflevector(s, t, 0, 1, 4, 5);
    sum += wx[3] * __builtin_shufflevector(s, t, 2, 3, 6, 7);
    sum *= *reinterpret_cast<const Four*>(wy);
    return (((0.f + sum[0]) + sum[1]) + sum[2]) + sum[3];
}
#else
inline float weighed(const float* p, std::ptrdiff_t stride, const float* wx, const float* wy) {
    float out = 0.f;
    for (int j = 0; j < 4; ++j) {
        float sum = 0.f;
        for (int i = 0; i < 4; ++i) sum += wx[i] * p[j * stride + i];
        out += wy[j] * sum;
    }
    return out;
}
#endif

// One row of one plane. At the rim the last samples are repeated; what cannot be seen stays.
WIDE void sample_row(const float* in, int stride, Rect region, int n, const int* first_x, const int* first_y,
                     const int* inside, const int* clear, const float* wx, const float* wy, const float* own,
                     float* ALONE out) {
    for (int x = 0; x < n; ++x) {
        if (clear[x]) {
            out[x] = weighed(in + std::ptrdiff_t(first_y[x]) * stride + first_x[x], stride, wx + 4 * x, wy + 4 * x);
        } else if (inside[x]) {
            float block[16];
            for (int j = 0; j < 4; ++j) {
                const int y = std::clamp(first_y[x] + j, region.y0, region.y1 - 1);
                for (int i = 0; i < 4; ++i)
                    block[4 * j + i] = in[std::ptrdiff_t(y) * stride + std::clamp(first_x[x] + i, region.x0, region.x1 - 1)];
            }
            out[x] = weighed(block, 4, wx + 4 * x, wy + 4 * x);
        } else {
            out[x] = own[x];
        }
    }
}

// Warp `planes` planes of `size` samples onto the center; `ok` is 0 where the flow leaves the frame
// or the allowed reach. Where a pixel comes from is found once for all planes.
WIDE void warp(const float* in, int planes, std::size_t size, int stride, Rect region, Rect frame,
               int origin_x, int origin_y, FlowField flow, float reach, float* out, float* ok) {
    const float inv = 1.f / float(flow.scale);
    const int n = frame.x1 - frame.x0;
    RowOfPlaces at(n);
    for (int x = 0; x < n; ++x) {
        const float u = (float(x + frame.x0 + origin_x) + 0.5f) * inv - 0.5f;
        const float uf = std::floor(u);
        at.along[x] = u - uf;
        at.left[x] = std::clamp(int(uf), 0, flow.width - 1);
        at.right[x] = std::clamp(int(uf) + 1, 0, flow.width - 1);
    }
    const auto spread = [&](int row, std::vector<float> (&lines)[2]) {
        spread_flow(flow.data + std::ptrdiff_t(row) * flow.width * 2, at.left.data(), at.right.data(), at.along.data(),
                    n, lines[0].data(), lines[1].data());
    };
    for (int y = frame.y0; y < frame.y1; ++y) {
        const float v = (float(y + origin_y) + 0.5f) * inv - 0.5f;
        const float vf = std::floor(v), vt = v - vf;
        const int v0 = std::clamp(int(vf), 0, flow.height - 1);
        const int v1 = std::clamp(int(vf) + 1, 0, flow.height - 1);
        if (v0 == at.bottom_row) {  // what was below is above now
            for (int i = 0; i < 2; ++i) at.top[i].swap(at.bottom[i]);
            std::swap(at.top_row, at.bottom_row);
        }
        if (v0 != at.top_row) spread(at.top_row = v0, at.top);
        if (v1 != at.bottom_row) spread(at.bottom_row = v1, at.bottom);
        const std::ptrdiff_t start = std::ptrdiff_t(y) * stride + frame.x0;
        place_row({at.top[0].data(), at.top[1].data()}, {at.bottom[0].data(), at.bottom[1].data()}, vt, frame.x0, n, y,
                  frame, reach, at.from_x.data(), at.from_y.data(), at.inside.data(), ok + start);
        weigh_row(at.from_x.data(), n, at.first_x.data(), at.wx.data());
        weigh_row(at.from_y.data(), n, at.first_y.data(), at.wy.data());
        clear_row(at.first_x.data(), at.first_y.data(), at.inside.data(), n, region, at.clear.data());
        for (int k = 0; k < planes; ++k)
            sample_row(in + size * k, stride, region, n, at.first_x.data(), at.first_y.data(), at.inside.data(),
                       at.clear.data(), at.wx.data(), at.wy.data(), in + size * k + start, out + size * k + start);
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
