// DPX samples: the bytes of one row <-> integer codes. Layouts follow SMPTE ST 268-1.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

// The loops over every sample are compiled for wider vector units too, and the loader picks.
// The results are the same bits: integer work and single IEEE operations, nothing re-ordered.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ >= 12
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define WIDE __attribute__((target_clones("avx2", "default")))
#endif
#else
#define WIDE
#endif

namespace wetgate::dpx {

constexpr int kMaxComponents = 4;
constexpr int kPacked = 0;
constexpr int kMethodA = 1;
constexpr int kMethodB = 2;

// One image element as the loops see it.
struct Layout {
    std::int64_t width = 0;
    std::int64_t channels = 0;  // of the float array, which may hold more than this element
    std::int64_t row_bytes = 0;
    int bits = 0;
    int packing = 0;
    bool big_endian = false;
    int components = 0;  // samples per pixel
    std::array<int, kMaxComponents> channel{};  // of each sample of a pixel
    int odd_channel = -1;  // 4:2:2: channel of the first sample of odd pixels (Cr), else -1

    std::int64_t samples() const { return width * components; }
    bool identity() const {
        if (components != channels || odd_channel >= 0) return false;
        for (int i = 0; i < components; ++i)
            if (channel[static_cast<std::size_t>(i)] != i) return false;
        return true;
    }
    // Single-component 10-bit words are filled from the low bits up, all others from the high
    // bits down; scanners, libdpx and ffmpeg agree on this reading of the standard.
    bool low_first() const { return components == 1; }
    float max_code() const { return static_cast<float>((1u << bits) - 1u); }
};

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
constexpr bool kHostBig = true;
#else
constexpr bool kHostBig = false;
#endif

inline std::uint32_t swapped(std::uint32_t v) {
    return v << 24 | (v << 8 & 0x00ff0000u) | (v >> 8 & 0x0000ff00u) | v >> 24;
}

inline std::uint16_t swapped(std::uint16_t v) {
    return static_cast<std::uint16_t>(v << 8 | v >> 8);
}

template <class Word>
inline Word load(const std::uint8_t* p, bool big) {
    Word v;
    std::memcpy(&v, p, sizeof v);
    return big == kHostBig ? v : swapped(v);
}

template <class Word>
inline void store(std::uint8_t* p, Word v, bool big) {
    if (big != kHostBig) v = swapped(v);
    std::memcpy(p, &v, sizeof v);
}

inline std::uint32_t load32(const std::uint8_t* p, bool big) { return load<std::uint32_t>(p, big); }
inline std::uint16_t load16(const std::uint8_t* p, bool big) { return load<std::uint16_t>(p, big); }
inline void store32(std::uint8_t* p, std::uint32_t v, bool big) { store(p, v, big); }
inline void store16(std::uint8_t* p, std::uint16_t v, bool big) { store(p, v, big); }

// Read the samples of one row as codes; OR whatever else stands in their words into `fill`.
// Returns the position behind the last byte looked at.
const std::uint8_t* read_codes(const Layout& at, const std::uint8_t* row, std::uint16_t* code,
                               std::uint32_t& fill);

// Write the codes of one row, every other bit of their words zero; returns the position behind.
std::uint8_t* write_codes(const Layout& at, std::uint8_t* row, const std::uint16_t* code);

}  // namespace wetgate::dpx
