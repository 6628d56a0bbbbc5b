// Collaborative patch filtering along motion: the denoiser's hot loop.
//
// For every reference patch of a fixed grid, the most similar 8x8 patches are gathered from the
// center frame and, around the position that motion predicts, from its neighbors. The group is
// transformed (8x8 DCT in space, Haar along the group), shrunk against the noise spectrum, and
// put back; overlapping estimates are averaged with weights that favour sparse groups. The first
// stage thresholds; the second is a Wiener filter steered by the first stage's result.
// After Dabov, Foi, Katkovnik, Egiazarian, "Image denoising by sparse 3-D transform-domain
// collaborative filtering", IEEE TIP 16 (2007), and Dabov, Foi, Egiazarian, "Video denoising by
// sparse 3D transform-domain collaborative filtering", EUSIPCO 2007.
//
// Same bits for any tile: the grid is anchored at the frame's (0, 0), every reference within
// reach of the tile is visited in raster order, sums have fixed lanes, and the build forbids
// contraction and reassociation.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "patch_search.hpp"
#include "patch_transforms.hpp"

namespace py = pybind11;

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDE
#endif

namespace {

INLINE float level_factor(const Job& job, float level) {
    if (!job.level_gain) return 1.f;
    float t = (level - job.level_lo) / job.level_step;
    t = std::min(std::max(0.f, t), float(job.level_count - 1));  // NaN becomes 0
    const int i = std::min(int(t), job.level_count - 2);
    const float w = t - float(i);
    return job.level_gain[i] * (1.f - w) + job.level_gain[i + 1] * w;
}

// Load the group's patches from `planes` and leave its 3-D transform in `out`.
INLINE void transform(const Job& job, const std::vector<Plane>& planes, int channel, const Group& group,
                      float* work, float* out) {
    alignas(64) float patch[PP];
    for (int i = 0; i < group.count; ++i) {
        const Match& m = group.item[i];
        load(planes[m.frame * job.channels + channel], m.x, m.y, patch);
        dct2(patch, work + i * PP);
    }
    haar(work, group.count, out);
}

// Keep what stands out of the noise. Returns the noise variance left.
INLINE float shrink_by_threshold(float* a, int n, const float* noise, float hard, float gain) {
    const float cut = hard * hard * gain;
    const float dc = a[0];
    Eight sum{};
    for (int i = 0; i < n * PP; i += P) {
        const Eight v = eight(noise + (i & (PP - 1))), x = eight(a + i);
        const Eight keep = stands_out(x * x, cut * v);
        store(x * keep, a + i);
        sum = sum + keep * v * gain;
    }
    float lane[P];
    store(sum, lane);
    if (a[0] == 0.f && dc != 0.f) {  // the group's mean is never noise
        a[0] = dc;
        lane[0] += noise[0] * gain;
    }
    float left = 0.f;
    for (int k = 0; k < P; ++k) left += lane[k];
    return left;
}

// Weigh every sample by the guide's share of power in it. Returns the noise variance left.
INLINE float shrink_by_wiener(float* a, const float* guide, int n, const float* noise, float gain) {
    Eight sum{};
    for (int i = 0; i < n * PP; i += P) {
        const Eight v = eight(noise + (i & (PP - 1))) * gain, g = eight(guide + i);
        const Eight s = g * g, w = s / (s + v);
        store(eight(a + i) * w, a + i);
        sum = sum + w * w * v;
    }
    float lane[P], left = 0.f;
    store(sum, lane);
    for (int k = 0; k < P; ++k) left += lane[k];
    return left;
}

// Add the patches of the center frame to the tile's sums.
INLINE void put_back(const Job& job, const Group& group, const float* spectra, float w0, float* sum,
                     float* weight) {
    const int tw = job.tile_x1 - job.tile_x0;
    alignas(64) float patch[PP], share[PP];
    for (int k = 0; k < PP; ++k) share[k] = w0 * job.window[k];
    for (int i = 0; i < group.count; ++i) {
        const Match& m = group.item[i];
        if (m.frame != job.center) continue;
        const int x0 = std::max<int>(m.x, job.tile_x0), x1 = std::min<int>(m.x + P, job.tile_x1);
        const int y0 = std::max<int>(m.y, job.tile_y0), y1 = std::min<int>(m.y + P, job.tile_y1);
        if (x0 >= x1 || y0 >= y1) continue;
        idct2(spectra + i * PP, patch);
        for (int k = 0; k < PP; ++k) patch[k] *= share[k];
        for (int y = y0; y < y1; ++y) {
            const std::size_t o = std::size_t(y - job.tile_y0) * tw + (x0 - job.tile_x0);
            const int k = (y - m.y) * P + (x0 - m.x);
            if (x1 - x0 == P) {
                store(eight(sum + o) + eight(patch + k), sum + o);
                store(eight(weight + o) + eight(share + k), weight + o);
            } else
                for (int x = 0; x < x1 - x0; ++x) {
                    sum[o + x] += patch[k + x];
                    weight[o + x] += share[k + x];
                }
        }
    }
}

INLINE float noise_gain(const Job& job, int rx, int ry) {
    if (!job.level_gain) return 1.f;
    alignas(64) float patch[PP];
    float mean = 0.f;
    load(job.guide[job.center], rx, ry, patch);
    for (int k = 0; k < PP; ++k) mean += patch[k];
    return level_factor(job, mean / PP);
}

WIDE void filter(const Job& job, float* sum, float* weight) {
    const std::size_t plane = std::size_t(job.tile_x1 - job.tile_x0) * (job.tile_y1 - job.tile_y0);
    std::vector<float> buffer(3 * MAX_GROUP * PP);
    float* work = buffer.data();
    float* a = work + MAX_GROUP * PP;
    float* guide = a + MAX_GROUP * PP;
    Group group;
    for (std::size_t gy = 0; gy < job.ref_y.size(); ++gy) {
        Hints hints;
        for (std::size_t gx = 0; gx < job.ref_x.size(); ++gx) {
            const int rx = job.ref_x[gx], ry = job.ref_y[gy];
            gather(job, int(gy) * job.grid_w + int(gx), rx, ry, group, hints);
            const float gain = noise_gain(job, rx, ry);
            for (int c = 0; c < job.channels; ++c) {
                const float* noise = job.noise + c * PP;
                transform(job, job.noisy, c, group, work, a);
                float left;
                if (job.basic.empty()) {
                    left = shrink_by_threshold(a, group.count, noise, job.hard, gain);
                } else {
                    transform(job, job.basic, c, group, work, guide);
                    left = shrink_by_wiener(a, guide, group.count, noise, gain);
                }
                haar_inverse(a, group.count, work);
                put_back(job, group, work, 1.f / std::max(left, 1e-12f), sum + c * plane, weight + c * plane);
            }
        }
    }
}

using Array = py::array_t<float, py::array::c_style>;
using Flow = py::array_t<std::int16_t, py::array::c_style>;

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument("denoise: " + text); }

// Modified Bessel function of the first kind, order 0 (power series).
double bessel0(double x) {
    double term = 1, sum = 1;
    for (int k = 1; k < 40; ++k) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

py::array_t<float> collaborate(const std::vector<py::object>& noisy,
                               const std::vector<py::object>& basic,
                               const std::vector<py::object>& guide,
                               const std::vector<py::object>& flow, std::array<int, 4> frame,
                               std::array<int, 4> tile, const std::vector<int>& ref_x,
                               const std::vector<int>& ref_y, Array noise, py::object level,
                               std::array<float, 2> level_range, py::dict parameters) {
    Job job;
    job.frames = int(noisy.size());
    if (job.frames < 1 || job.frames % 2 == 0) refuse("needs an odd number of frames");
    if (guide.size() != noisy.size() || flow.size() != noisy.size() ||
        (!basic.empty() && basic.size() != noisy.size()))
        refuse("noisy, basic, guide and flow need one entry a frame");
    job.center = job.frames / 2;
    const auto first = py::cast<Array>(noisy[job.center]);
    if (first.ndim() != 3) refuse("frames are (channel, height, width)");
    job.channels = int(first.shape(0));
    const int h = int(first.shape(1)), w = int(first.shape(2));
    std::vector<Array> keep;
    const auto planes = [&](const std::vector<py::object>& from, std::vector<Plane>& to) {
        for (const auto& o : from) {
            if (o.is_none()) {
                to.insert(to.end(), job.channels, Plane{nullptr, 0});
                continue;
            }
            auto a = py::cast<Array>(o);
            if (a.ndim() != 3 || a.shape(0) != job.channels || a.shape(1) != h || a.shape(2) != w)
                refuse("frames of one window differ in shape");
            for (int c = 0; c < job.channels; ++c)
                to.push_back({a.data() + std::size_t(c) * h * w, w});
            keep.push_back(std::move(a));
        }
    };
    planes(noisy, job.noisy);
    planes(basic, job.basic);
    std::vector<Flow> keep_flow;
    for (int f = 0; f < job.frames; ++f) {
        if (guide[f].is_none() != noisy[f].is_none()) refuse("a frame has no guide");
        if (guide[f].is_none()) {
            job.guide.push_back({nullptr, 0});
            job.flow.push_back(nullptr);
            continue;
        }
        auto g = py::cast<Array>(guide[f]);
        if (g.ndim() != 2 || g.shape(0) != h || g.shape(1) != w) refuse("guide is (height, width)");
        job.guide.push_back({g.data(), w});
        keep.push_back(std::move(g));
        if (flow[f].is_none()) {
            job.flow.push_back(nullptr);
        } else {
            auto v = py::cast<Flow>(flow[f]);
            if (v.ndim() != 3 || v.shape(0) != py::ssize_t(ref_y.size()) ||
                v.shape(1) != py::ssize_t(ref_x.size()) || v.shape(2) != 2)
                refuse("flow is int16 (reference rows, reference columns, 2)");
            job.flow.push_back(v.data());
            keep_flow.push_back(std::move(v));
        }
    }
    job.grid_w = int(ref_x.size());
    job.frame_x0 = std::max(frame[0], 0);
    job.frame_y0 = std::max(frame[1], 0);
    job.frame_x1 = std::min(frame[2], w);
    job.frame_y1 = std::min(frame[3], h);
    job.tile_x0 = tile[0];
    job.tile_y0 = tile[1];
    job.tile_x1 = tile[2];
    job.tile_y1 = tile[3];
    if (tile[0] < 0 || tile[1] < 0 || tile[2] > w || tile[3] > h || tile[0] >= tile[2] || tile[1] >= tile[3])
        refuse("tile is empty or outside the region");
    for (int x : ref_x)
        if (x < job.frame_x0 || x + P > job.frame_x1) refuse("reference outside the frame");
    for (int y : ref_y)
        if (y < job.frame_y0 || y + P > job.frame_y1) refuse("reference outside the frame");
    job.ref_x = ref_x;
    job.ref_y = ref_y;
    if (noise.ndim() != 2 || noise.shape(0) != job.channels || noise.shape(1) != PP)
        refuse("noise is (channel, 64)");
    job.noise = noise.data();
    Array level_array;
    job.level_gain = nullptr;
    if (!level.is_none()) {
        level_array = py::cast<Array>(level);
        if (level_array.ndim() != 1 || level_array.shape(0) < 2) refuse("level curve needs two points");
        job.level_gain = level_array.data();
        job.level_count = int(level_array.shape(0));
        job.level_lo = level_range[0];
        job.level_step = (level_range[1] - level_range[0]) / float(job.level_count - 1);
    }
    job.radius_here = parameters["radius_here"].cast<int>();
    job.radius_there = parameters["radius_there"].cast<int>();
    job.group_size = parameters["group_size"].cast<int>();
    job.per_frame = parameters["per_frame"].cast<int>();
    job.reach = parameters["reach"].cast<int>();
    job.threshold = parameters["threshold"].cast<float>();
    job.hard = parameters["hard"].cast<float>();
    if (job.group_size < 1 || job.group_size > MAX_GROUP || job.per_frame < 1 || job.per_frame > MAX_GROUP)
        refuse("group_size and per_frame lie in 1-" + std::to_string(MAX_GROUP));
    const double beta = 2.0;  // Kaiser window, as in the papers
    for (int y = 0; y < P; ++y)
        for (int x = 0; x < P; ++x) {
            const auto kaiser = [&](int i) {
                const double t = 2.0 * i / (P - 1) - 1.0;
                return bessel0(beta * std::sqrt(1.0 - t * t)) / bessel0(beta);
            };
            job.window[y * P + x] = float(kaiser(x) * kaiser(y));
        }
    const int tw = tile[2] - tile[0], th = tile[3] - tile[1];
    py::array_t<float> result({job.channels, th, tw});
    {
        float* out = result.mutable_data();
        py::gil_scoped_release release;
        const std::size_t n = std::size_t(job.channels) * th * tw;
        std::vector<float> weight(n, 0.f);
        std::fill(out, out + n, 0.f);
        filter(job, out, weight.data());
        // Every pixel is covered by a reference patch when the grid is complete.
        for (std::size_t i = 0; i < n; ++i) out[i] /= weight[i];
    }
    return result;
}

}  // namespace

void bind_collaborate(py::module_& m) {
    m.def("collaborate", &collaborate, py::arg("noisy"), py::arg("basic"), py::arg("guide"),
          py::arg("flow"), py::arg("frame"), py::arg("tile"), py::arg("ref_x"), py::arg("ref_y"),
          py::arg("noise"), py::arg("level"), py::arg("level_range"), py::arg("parameters"),
          "Filter one tile; see wetgate/operators/denoise/passes.py.");
}
