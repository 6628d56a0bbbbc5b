// Which patches are filtered together: a search around a reference, and where motion leads.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "patch_groups.hpp"

namespace {

struct Job {
    int frames = 0, center = 0, channels = 0;
    std::vector<Plane> noisy, basic;  // [frame * channels + channel]
    std::vector<Plane> guide;         // [frame]
    std::vector<const std::int16_t*> flow;  // [frame] -> (gy, gx, 2) dx, dy; null: no candidate
    int grid_w = 0;                         // references in a row of the flow arrays
    int frame_x0, frame_y0, frame_x1, frame_y1;  // full frame in region coordinates
    int tile_x0, tile_y0, tile_x1, tile_y1;      // tile in region coordinates
    std::vector<int> ref_x, ref_y;               // reference grid in region coordinates
    int radius_here, radius_there, group_size, per_frame, reach;
    float threshold;               // largest distance of a match, summed over the patch
    float hard;                    // stage 1: threshold in noise deviations
    const float* noise;            // (channels, PP) variance of each DCT sample, transposed
    const float* level_gain;       // noise variance factor against center luma, or null
    float level_lo, level_step;
    int level_count;
    float window[PP];              // aggregation window
};

template <int S>
INLINE void scan(const Job& job, int frame, int x0, int y0, int x1, int y1, int rx, int ry,
                 const float* patch, float threshold, Group& group, bool check) {
    const Plane other = job.guide[frame];
    alignas(64) float d[S];
    for (int y = y0; y <= y1; ++y)
        for (int x = x0; x <= x1; x += S) {
            const int from = std::min(x, job.frame_x1 - P + 1 - S), end = std::min(x + S, x1 + 1);
            const float* q = other.at(from, y);
            if (!distances<S>(patch, q, other.stride, group.limit(threshold), d)) continue;
            for (int at = x; at < end; ++at) {
                if (!(d[at - from] < group.limit(threshold))) continue;  // NaN matches nothing
                if (frame == job.center && at == rx && y == ry) continue;
                if (check && group.holds(frame, at, y)) continue;
                group.insert({d[at - from], at, y, frame});
            }
        }
}

// What the reference before found in its own frame, from itself.
struct Hints {
    std::array<int, MAX_GROUP> dx, dy;
    int count = 0;
};

struct Span {
    int x0, y0, x1, y1;  // first px of patches, all inclusive
    bool holds(int x, int y) const { return x >= x0 && x <= x1 && y >= y0 && y <= y1; }
};

INLINE Span span_of(const Job& job, int cx, int cy, int radius) {
    return {std::max(cx - radius, job.frame_x0), std::max(cy - radius, job.frame_y0),
            std::min(cx + radius, job.frame_x1 - P), std::min(cy + radius, job.frame_y1 - P)};
}

// The largest distance that can still be among the best `group.size`. Where that many candidates
// lie within a distance, all of the best do: what is farther need not be looked at, and neither
// those found nor their order change. What was near the reference before mostly is near this one.
INLINE float promised(const Job& job, int rx, int ry, const Hints& hints, const Group& group) {
    if (hints.count < group.size || group.size == 0) return job.threshold;
    const Span span = span_of(job, rx, ry, job.radius_here);
    const Plane plane = job.guide[job.center];
    alignas(64) float patch[PP];
    load(plane, rx, ry, patch);
    float worst = 0.f;
    for (int i = 0; i < group.size; ++i) {
        const int x = rx + hints.dx[i], y = ry + hints.dy[i];
        if (!span.holds(x, y)) return job.threshold;
        const float d = distance(patch, plane.at(x, y), plane.stride);
        if (!(d < job.threshold)) return job.threshold;  // NaN promises nothing
        worst = std::max(worst, d);
    }
    return std::min(job.threshold, std::nextafter(worst, std::numeric_limits<float>::infinity()));
}

INLINE void search(const Job& job, int frame, int cx, int cy, int radius, int rx, int ry, float threshold,
                   Group& group, bool check) {
    const auto [x0, y0, x1, y1] = span_of(job, cx, cy, radius);
    alignas(64) float patch[PP];
    load(job.guide[job.center], rx, ry, patch);
    // Nothing outside the frame is read: the last block begins where it still fits.
    const int last = job.frame_x1 - P - job.frame_x0;
    if (x1 - x0 >= 8 && last >= 15)
        scan<16>(job, frame, x0, y0, x1, y1, rx, ry, patch, threshold, group, check);
    else if (x1 - x0 >= 4 && last >= 7)
        scan<8>(job, frame, x0, y0, x1, y1, rx, ry, patch, threshold, group, check);
    else
        scan<1>(job, frame, x0, y0, x1, y1, rx, ry, patch, threshold, group, check);
}

INLINE void gather(const Job& job, int gi, int rx, int ry, Group& group, Hints& hints) {
    group.count = 0;
    group.size = job.group_size - 1;
    search(job, job.center, rx, ry, job.radius_here, rx, ry, promised(job, rx, ry, hints, group), group, false);
    hints.count = group.count;
    for (int i = 0; i < group.count; ++i) {
        hints.dx[i] = group.item[i].x - rx;
        hints.dy[i] = group.item[i].y - ry;
    }
    for (int f = 0; f < job.frames; ++f) {
        if (f == job.center || !job.guide[f].data) continue;
        Group local;
        local.size = job.per_frame;
        const float limit = group.limit(job.threshold);  // what is no better is left out below
        search(job, f, rx, ry, job.radius_there / 2, rx, ry, limit, local, false);
        if (job.flow[f]) {
            const int dx = job.flow[f][2 * gi], dy = job.flow[f][2 * gi + 1];
            if (std::abs(dx) <= job.reach && std::abs(dy) <= job.reach)
                search(job, f, rx + dx, ry + dy, job.radius_there, rx, ry, limit, local, true);
        }
        for (int i = 0; i < local.count; ++i)
            if (local.item[i].distance < group.limit(job.threshold)) group.insert(local.item[i]);
    }
    // The reference leads; the group is cut to a power of two for the Haar transform.
    int n = 1;
    while (2 * n <= group.count + 1) n *= 2;
    const int keep = n - 1;
    for (int i = keep; i > 0; --i) group.item[i] = group.item[i - 1];
    group.item[0] = {0.f, rx, ry, job.center};
    group.count = n;
}

}  // namespace
