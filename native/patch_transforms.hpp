// The transforms of a group of 8x8 patches: DCT in space, Haar along the group.
//
// Written in independent lanes, so that a compiler may use vectors of any width and still give
// the same bits.
#pragma once

#include <algorithm>

#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#else
#define INLINE inline
#endif

namespace {

constexpr int P = 8;       // patch side, px
constexpr int PP = P * P;  // samples in a patch

// Orthonormal DCT-II of 8 samples by even-odd splitting, columns in parallel lanes. `D[k]` is
// sqrt(2/8) cos(pi k / 16); the inverse is the transpose.
constexpr float D0 = 0.35355339059327376220f;
constexpr float D1 = 0.49039264020161522456f, D2 = 0.46193976625564337806f;
constexpr float D3 = 0.41573480615127261854f, D5 = 0.27778511650980111237f;
constexpr float D6 = 0.19134171618254488586f, D7 = 0.09754516100806413392f;

INLINE void dct_columns(const float* in, float* out) {
    for (int x = 0; x < P; ++x) {
        const float* v = in + x;
        const float s0 = v[0 * P] + v[7 * P], d0 = v[0 * P] - v[7 * P];
        const float s1 = v[1 * P] + v[6 * P], d1 = v[1 * P] - v[6 * P];
        const float s2 = v[2 * P] + v[5 * P], d2 = v[2 * P] - v[5 * P];
        const float s3 = v[3 * P] + v[4 * P], d3 = v[3 * P] - v[4 * P];
        const float e0 = s0 + s3, e1 = s1 + s2, f0 = s0 - s3, f1 = s1 - s2;
        float* o = out + x;
        o[0 * P] = D0 * (e0 + e1);
        o[4 * P] = D0 * (e0 - e1);
        o[2 * P] = D2 * f0 + D6 * f1;
        o[6 * P] = D6 * f0 - D2 * f1;
        o[1 * P] = (D1 * d0 + D3 * d1) + (D5 * d2 + D7 * d3);
        o[3 * P] = (D3 * d0 - D7 * d1) - (D1 * d2 + D5 * d3);
        o[5 * P] = (D5 * d0 - D1 * d1) + (D7 * d2 + D3 * d3);
        o[7 * P] = (D7 * d0 - D5 * d1) + (D3 * d2 - D1 * d3);
    }
}

INLINE void idct_columns(const float* in, float* out) {
    for (int x = 0; x < P; ++x) {
        const float* v = in + x;
        const float a = D0 * (v[0 * P] + v[4 * P]), b = D0 * (v[0 * P] - v[4 * P]);
        const float c = D2 * v[2 * P] + D6 * v[6 * P], d = D6 * v[2 * P] - D2 * v[6 * P];
        const float e0 = a + c, e1 = b + d, e2 = b - d, e3 = a - c;
        const float p = v[1 * P], q = v[3 * P], r = v[5 * P], s = v[7 * P];
        const float o0 = (D1 * p + D3 * q) + (D5 * r + D7 * s);
        const float o1 = (D3 * p - D7 * q) - (D1 * r + D5 * s);
        const float o2 = (D5 * p - D1 * q) + (D7 * r + D3 * s);
        const float o3 = (D7 * p - D5 * q) + (D3 * r - D1 * s);
        float* o = out + x;
        o[0 * P] = e0 + o0;
        o[7 * P] = e0 - o0;
        o[1 * P] = e1 + o1;
        o[6 * P] = e1 - o1;
        o[2 * P] = e2 + o2;
        o[5 * P] = e2 - o2;
        o[3 * P] = e3 + o3;
        o[4 * P] = e3 - o3;
    }
}

#if defined(__GNUC__) && (defined(__clang__) || __GNUC__ >= 12)
#define HAVE_LANES
typedef float Lanes __attribute__((vector_size(32), aligned(4), may_alias));
#endif

// Eight samples side by side. Sums that run over a group stay in registers so; a compiler that is
// given an array writes it back to memory after every row, and waits for it.
#ifdef HAVE_LANES
#pragma GCC diagnostic ignored "-Wpsabi"  // all of it is inlined: no vector is ever passed
using Eight = Lanes;
INLINE Eight eight(const float* from) { return *reinterpret_cast<const Lanes*>(from); }
INLINE void store(Eight values, float* to) { *reinterpret_cast<Lanes*>(to) = values; }
INLINE Eight stands_out(Eight power, Eight limit) { return power > limit ? Eight{} + 1.f : Eight{}; }
#else
struct Eight {
    float v[P];
};
template <class F>
INLINE Eight by_lane(F f) {
    Eight out;
    for (int k = 0; k < P; ++k) out.v[k] = f(k);
    return out;
}
INLINE Eight operator*(const Eight& a, const Eight& b) { return by_lane([&](int k) { return a.v[k] * b.v[k]; }); }
INLINE Eight operator*(const Eight& a, float b) { return by_lane([&](int k) { return a.v[k] * b; }); }
INLINE Eight operator*(float a, const Eight& b) { return b * a; }
INLINE Eight operator+(const Eight& a, const Eight& b) { return by_lane([&](int k) { return a.v[k] + b.v[k]; }); }
INLINE Eight operator-(const Eight& a, const Eight& b) { return by_lane([&](int k) { return a.v[k] - b.v[k]; }); }
INLINE Eight operator/(const Eight& a, const Eight& b) { return by_lane([&](int k) { return a.v[k] / b.v[k]; }); }
INLINE Eight eight(const float* from) { return by_lane([&](int k) { return from[k]; }); }
INLINE void store(const Eight& values, float* to) { std::copy(values.v, values.v + P, to); }
INLINE Eight stands_out(const Eight& power, const Eight& limit) {
    return by_lane([&](int k) { return power.v[k] > limit.v[k] ? 1.f : 0.f; });
}
#endif

#ifdef HAVE_LANES
// Pairs, then pairs of pairs, then halves change places: 24 shuffles for an 8x8 patch.
INLINE void transpose(const float* in, float* out) {
    Lanes r[P], t[P];
    for (int y = 0; y < P; ++y) r[y] = *reinterpret_cast<const Lanes*>(in + y * P);
    for (int y = 0; y < P; y += 2) {
        t[y] = __builtin_shufflevector(r[y], r[y + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[y + 1] = __builtin_shufflevector(r[y], r[y + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int y = 0; y < P; y += 4)
        for (int k = 0; k < 2; ++k) {
            r[y + 2 * k] = __builtin_shufflevector(t[y + k], t[y + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            r[y + 2 * k + 1] = __builtin_shufflevector(t[y + k], t[y + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int y = 0; y < P / 2; ++y) {
        t[y] = __builtin_shufflevector(r[y], r[y + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        t[y + 4] = __builtin_shufflevector(r[y], r[y + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    for (int y = 0; y < P; ++y) *reinterpret_cast<Lanes*>(out + y * P) = t[y];
}
#else
INLINE void transpose(const float* in, float* out) {
    for (int y = 0; y < P; ++y)
        for (int x = 0; x < P; ++x) out[x * P + y] = in[y * P + x];
}
#endif

// The spectrum is left transposed: harmless, since the noise spectrum is stored so too.
INLINE void dct2(const float* patch, float* spectrum) {
    alignas(64) float a[PP], b[PP];
    dct_columns(patch, a);
    transpose(a, b);
    dct_columns(b, spectrum);
}

INLINE void idct2(const float* spectrum, float* patch) {
    alignas(64) float a[PP], b[PP];
    idct_columns(spectrum, a);
    transpose(a, b);
    idct_columns(b, patch);
}

// Orthonormal Haar transform along the group; n is a power of two. Means shrink in place in
// `group`, which is used up; differences go to `out`, coarsest first, the grand mean leading.
INLINE void haar(float* group, int n, float* out) {
    const float r = 0.70710678118654752440f;
    for (int half = n / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) {
            const float* a = group + (2 * i) * PP;
            const float* b = a + PP;
            float* mean = group + i * PP;
            float* difference = out + (half + i) * PP;
            for (int k = 0; k < PP; k += P) {
                const Eight p = eight(a + k), q = eight(b + k);
                store((p - q) * r, difference + k);
                store((p + q) * r, mean + k);
            }
        }
    std::copy(group, group + PP, out);
}

INLINE void haar_inverse(const float* coefficients, int n, float* out) {
    const float r = 0.70710678118654752440f;
    std::copy(coefficients, coefficients + PP, out);
    for (int half = 1; half < n; half *= 2)
        for (int i = half - 1; i >= 0; --i) {  // backwards: a mean is read before it is overwritten
            const float* s = out + i * PP;
            const float* d = coefficients + (half + i) * PP;
            float* a = out + (2 * i) * PP;
            for (int k = 0; k < PP; k += P) {
                const Eight p = eight(s + k), q = eight(d + k);
                store((p - q) * r, a + PP + k);
                store((p + q) * r, a + k);
            }
        }
}

}  // namespace
