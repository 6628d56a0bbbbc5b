// Patches of a frame, how far they are apart, and the group of those nearest to one.
#pragma once

#include <array>
#include <cstddef>

#include "patch_transforms.hpp"

namespace {

constexpr int MAX_GROUP = 32;  // patches in a group

struct Plane {  // one channel of one frame, covering `region`
    const float* data;
    std::ptrdiff_t stride;
    const float* at(int x, int y) const { return data + y * stride + x; }
};

struct Match {
    float distance;
    int x, y;   // region coordinates of the patch's first px
    int frame;  // index in the window
};

// Sum of squared differences down one column of a patch. Without a loop, so that compilers lay
// the callers' loops over candidates out in lanes.
INLINE float column(const float* p, const float* q, std::ptrdiff_t stride) {
    const float d0 = p[0 * P] - q[0 * stride], d1 = p[1 * P] - q[1 * stride];
    const float d2 = p[2 * P] - q[2 * stride], d3 = p[3 * P] - q[3 * stride];
    const float d4 = p[4 * P] - q[4 * stride], d5 = p[5 * P] - q[5 * stride];
    const float d6 = p[6 * P] - q[6 * stride], d7 = p[7 * P] - q[7 * stride];
    float sum = d0 * d0;
    sum += d1 * d1;
    sum += d2 * d2;
    sum += d3 * d3;
    sum += d4 * d4;
    sum += d5 * d5;
    sum += d6 * d6;
    sum += d7 * d7;
    return sum;
}

INLINE float four_columns(const float* p, const float* q, std::ptrdiff_t stride) {
    return (column(p, q, stride) + column(p + 4, q + 4, stride)) +
           (column(p + 1, q + 1, stride) + column(p + 5, q + 5, stride));
}

// The same for one patch: here the columns are the lanes.
INLINE float distance(const float* p, const float* q, std::ptrdiff_t stride) {
    float lane[P] = {0};
    for (int y = 0; y < P; ++y)
        for (int x = 0; x < P; ++x) {
            const float d = p[y * P + x] - q[y * stride + x];
            lane[x] += d * d;
        }
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

// Distances from one patch to `S` patches that begin one px apart; false when none is below
// `limit`. Each is the sum of eight columns of squares in a fixed tree. Sums of squares only grow,
// rounded or not: when four columns of all of them reach the limit the rest is left out.
template <int S>
INLINE bool distances(const float* patch, const float* q, std::ptrdiff_t stride, float limit, float* out) {
    if (S == 1) {
        out[0] = distance(patch, q, stride);
        return out[0] < limit;
    }
    int near = 0;
    for (int j = 0; j < S; ++j) out[j] = four_columns(patch, q + j, stride);
    for (int j = 0; j < S; ++j) near |= out[j] < limit;
    if (!near) return false;
    for (int j = 0; j < S; ++j) out[j] += four_columns(patch + 2, q + 2 + j, stride);
    near = 0;
    for (int j = 0; j < S; ++j) near |= out[j] < limit;
    return near != 0;
}

INLINE void load(Plane plane, int x, int y, float* out) {
    for (int r = 0; r < P; ++r) {
        const float* p = plane.at(x, y + r);
        for (int c = 0; c < P; ++c) out[r * P + c] = p[c];
    }
}

// The best `size` matches, nearest first; ties keep the earlier candidate.
struct Group {
    std::array<Match, MAX_GROUP> item;
    int count = 0, size = 0;

    float limit(float threshold) const {
        if (size == 0) return 0.f;  // a group of the reference alone
        return count == size ? item[count - 1].distance : threshold;
    }
    void insert(const Match& m) {
        int i = count < size ? count++ : count - 1;
        for (; i > 0 && item[i - 1].distance > m.distance; --i) item[i] = item[i - 1];
        item[i] = m;
    }
    bool holds(int frame, int x, int y) const {
        for (int i = 0; i < count; ++i)
            if (item[i].frame == frame && item[i].x == x && item[i].y == y) return true;
        return false;
    }
};

}  // namespace
