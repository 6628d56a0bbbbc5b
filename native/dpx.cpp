// DPX sample packing and unpacking: whole rows of one image element, file bytes <-> float32.
//
// Layouts follow SMPTE ST 268-1. A row is a run of samples, padded to 32 bits, then end-of-line
// padding; `row_bytes` covers all of it. Integer samples become code / (2^bits - 1) in float32,
// the correctly rounded quotient, so that packing gives every code back. What is not a sample
// (fill bits, the rest of a row's last word, end-of-line padding) is reported when it is not zero
// and is written as zero; the caller carries it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace py = pybind11;

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

namespace {

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

bool any_nonzero(const std::uint8_t* p, const std::uint8_t* end) {
    std::uint8_t seen = 0;
    for (; p < end; ++p) seen |= *p;
    return seen != 0;
}

// ---- file bytes <-> codes, one row ------------------------------------------------------------
// Each function returns the position behind the last byte it looked at; readers also OR what is
// not a sample into `fill`.

const std::uint8_t* read8(const std::uint8_t* p, std::int64_t n, std::uint16_t* code) {
    for (std::int64_t i = 0; i < n; ++i) code[i] = p[i];
    return p + n;
}

std::uint8_t* write8(std::uint8_t* p, std::int64_t n, const std::uint16_t* code) {
    for (std::int64_t i = 0; i < n; ++i) p[i] = static_cast<std::uint8_t>(code[i]);
    return p + n;
}

template <bool Big>
const std::uint8_t* read16(const std::uint8_t* p, std::int64_t n, int shift, std::uint32_t fill_mask,
                           std::uint16_t* code, std::uint32_t& fill) {
    std::uint32_t seen = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        const std::uint32_t v = load16(p + 2 * i, Big);
        seen |= v;
        code[i] = static_cast<std::uint16_t>((v & ~fill_mask) >> shift);
    }
    fill |= seen & fill_mask;
    return p + 2 * n;
}

template <bool Big>
std::uint8_t* write16(std::uint8_t* p, std::int64_t n, int shift, const std::uint16_t* code) {
    for (std::int64_t i = 0; i < n; ++i)
        store16(p + 2 * i, static_cast<std::uint16_t>(code[i] << shift), Big);
    return p + 2 * n;
}

// Where the three 10-bit samples of a filled word begin, in reading order.
struct Slots {
    int first, middle, last;
    Slots(int shift, bool low_first)
        : first(shift + (low_first ? 0 : 20)), middle(shift + 10),
          last(shift + (low_first ? 20 : 0)) {}
};

template <bool Big>
inline std::uint32_t read_words(const std::uint8_t* p, std::int64_t words, Slots at,
                                std::uint16_t* code) {
    std::uint32_t seen = 0;
    for (std::int64_t i = 0; i < words; ++i) {
        const std::uint32_t v = load32(p + 4 * i, Big);
        seen |= v;
        code[3 * i] = static_cast<std::uint16_t>(v >> at.first & 1023u);
        code[3 * i + 1] = static_cast<std::uint16_t>(v >> at.middle & 1023u);
        code[3 * i + 2] = static_cast<std::uint16_t>(v >> at.last & 1023u);
    }
    return seen;
}

WIDE std::uint32_t read_words_big(const std::uint8_t* p, std::int64_t words, Slots at,
                                  std::uint16_t* code) {
    return read_words<true>(p, words, at, code);
}

WIDE std::uint32_t read_words_little(const std::uint8_t* p, std::int64_t words, Slots at,
                                     std::uint16_t* code) {
    return read_words<false>(p, words, at, code);
}

template <bool Big>
inline void write_words(std::uint8_t* p, std::int64_t words, Slots at, const std::uint16_t* code) {
    for (std::int64_t i = 0; i < words; ++i) {
        const std::uint32_t v = std::uint32_t(code[3 * i]) << at.first |
                                std::uint32_t(code[3 * i + 1]) << at.middle |
                                std::uint32_t(code[3 * i + 2]) << at.last;
        store32(p + 4 * i, v, Big);
    }
}

WIDE void write_words_big(std::uint8_t* p, std::int64_t words, Slots at,
                          const std::uint16_t* code) {
    write_words<true>(p, words, at, code);
}

WIDE void write_words_little(std::uint8_t* p, std::int64_t words, Slots at,
                             const std::uint16_t* code) {
    write_words<false>(p, words, at, code);
}

// Filled words; `shift` is 2 (method A) or 0 (method B).
template <bool Big>
const std::uint8_t* read10(const std::uint8_t* p, std::int64_t n, int shift, bool low_first,
                           std::uint16_t* code, std::uint32_t& fill) {
    const std::uint32_t fill_mask = shift == 2 ? 3u : 3u << 30;
    const Slots at(shift, low_first);
    const std::int64_t words = n / 3;
    const std::uint32_t seen =
        Big ? read_words_big(p, words, at, code) : read_words_little(p, words, at, code);
    fill |= seen & fill_mask;
    p += 4 * words;
    if (const std::int64_t rest = n - 3 * words; rest > 0) {
        const std::uint32_t v = load32(p, Big);
        std::uint32_t used = 1023u << at.first;
        code[3 * words] = static_cast<std::uint16_t>(v >> at.first & 1023u);
        if (rest == 2) {
            used |= 1023u << at.middle;
            code[3 * words + 1] = static_cast<std::uint16_t>(v >> at.middle & 1023u);
        }
        fill |= v & ~used;
        p += 4;
    }
    return p;
}

template <bool Big>
std::uint8_t* write10(std::uint8_t* p, std::int64_t n, int shift, bool low_first,
                      const std::uint16_t* code) {
    const Slots at(shift, low_first);
    const std::int64_t words = n / 3;
    if (Big)
        write_words_big(p, words, at, code);
    else
        write_words_little(p, words, at, code);
    p += 4 * words;
    if (const std::int64_t rest = n - 3 * words; rest > 0) {
        std::uint32_t v = std::uint32_t(code[3 * words]) << at.first;
        if (rest == 2) v |= std::uint32_t(code[3 * words + 1]) << at.middle;
        store32(p, v, Big);
        p += 4;
    }
    return p;
}

// A run of bits through 32-bit words, from the low bits up.
template <bool Big>
const std::uint8_t* read_packed(const std::uint8_t* p, std::int64_t n, int bits,
                                std::uint16_t* code, std::uint32_t& fill) {
    const std::uint64_t mask = (1u << bits) - 1u;
    std::uint64_t held = 0;
    int count = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        if (count < bits) {
            held |= static_cast<std::uint64_t>(load32(p, Big)) << count;
            count += 32;
            p += 4;
        }
        code[i] = static_cast<std::uint16_t>(held & mask);
        held >>= bits;
        count -= bits;
    }
    fill |= static_cast<std::uint32_t>(held);
    return p;
}

template <bool Big>
std::uint8_t* write_packed(std::uint8_t* p, std::int64_t n, int bits, const std::uint16_t* code) {
    std::uint64_t held = 0;
    int count = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        held |= static_cast<std::uint64_t>(code[i]) << count;
        count += bits;
        if (count >= 32) {
            store32(p, static_cast<std::uint32_t>(held), Big);
            held >>= 32;
            count -= 32;
            p += 4;
        }
    }
    if (count > 0) {
        store32(p, static_cast<std::uint32_t>(held), Big);
        p += 4;
    }
    return p;
}

template <bool Big>
const std::uint8_t* read_codes(const Layout& at, const std::uint8_t* p, std::uint16_t* code,
                               std::uint32_t& fill) {
    const std::int64_t n = at.samples();
    if (at.bits == 8) return read8(p, n, code);
    if (at.bits == 16) return read16<Big>(p, n, 0, 0, code, fill);
    if (at.packing == kPacked) return read_packed<Big>(p, n, at.bits, code, fill);
    if (at.bits == 10)
        return read10<Big>(p, n, at.packing == kMethodA ? 2 : 0, at.low_first(), code, fill);
    return at.packing == kMethodA ? read16<Big>(p, n, 4, 0x000f, code, fill)
                                  : read16<Big>(p, n, 0, 0xf000, code, fill);
}

template <bool Big>
std::uint8_t* write_codes(const Layout& at, std::uint8_t* p, const std::uint16_t* code) {
    const std::int64_t n = at.samples();
    if (at.bits == 8) return write8(p, n, code);
    if (at.bits == 16) return write16<Big>(p, n, 0, code);
    if (at.packing == kPacked) return write_packed<Big>(p, n, at.bits, code);
    if (at.bits == 10)
        return write10<Big>(p, n, at.packing == kMethodA ? 2 : 0, at.low_first(), code);
    return write16<Big>(p, n, at.packing == kMethodA ? 4 : 0, code);
}

// ---- codes <-> floats <-> channels, one row ----------------------------------------------------

WIDE void to_floats(const std::uint16_t* code, std::int64_t n, float max_code, float* out) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(code[i]) / max_code;
}

// Nearest code, ties to even; below the range (and NaN) gives 0, above it the highest code.
// Adding 1.5 * 2^23 leaves the rounded integer in the low bits: rounding without a call.
WIDE void to_short_codes(const float* in, std::int64_t n, float max_code, std::uint16_t* code) {
    for (std::int64_t i = 0; i < n; ++i) {
        float v = in[i];
        v = v > 0.0f ? v : 0.0f;
        v = v < 1.0f ? v : 1.0f;
        v = v * max_code + 12582912.0f;
        std::uint32_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        code[i] = static_cast<std::uint16_t>(bits);
    }
}

// The same in double: near 2^16 the product in float would itself be off by 1/256 of a code.
WIDE void to_long_codes(const float* in, std::int64_t n, double max_code, std::uint16_t* code) {
    for (std::int64_t i = 0; i < n; ++i) {
        float x = in[i];
        x = x > 0.0f ? x : 0.0f;
        x = x < 1.0f ? x : 1.0f;
        const double v = static_cast<double>(x) * max_code + 6755399441055744.0;
        std::uint64_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        code[i] = static_cast<std::uint16_t>(bits);
    }
}

// Move the samples of one row into their channels.
void spread(const Layout& at, const float* sample, float neutral, float* out) {
    const std::int64_t channels = at.channels, components = at.components;
    for (std::int64_t k = at.odd_channel >= 0 ? 1 : 0; k < components; ++k) {
        float* to = out + at.channel[static_cast<std::size_t>(k)];
        for (std::int64_t x = 0; x < at.width; ++x) to[x * channels] = sample[x * components + k];
    }
    if (at.odd_channel < 0) return;
    const int cb = at.channel[0], cr = at.odd_channel;
    for (std::int64_t x = 0; x < at.width; x += 2) {
        float* here = out + x * channels;
        here[cb] = sample[x * components];
        if (x + 1 < at.width) {
            here[cr] = sample[(x + 1) * components];
            here[channels + cb] = here[cb];
            here[channels + cr] = here[cr];
        } else {
            here[cr] = x > 0 ? here[cr - channels] : neutral;
        }
    }
}

// One stored chroma sample from the two pixels that share it: their mean, and the very bits of
// the value when both are the same, so that reading and writing is exact.
float shared(float a, float b) {
    std::uint32_t p, q;
    std::memcpy(&p, &a, sizeof p);
    std::memcpy(&q, &b, sizeof q);
    return p == q ? a : static_cast<float>(0.5 * (static_cast<double>(a) + static_cast<double>(b)));
}

// Collect the samples of one row from their channels.
void gather(const Layout& at, const float* in, float* sample) {
    const std::int64_t channels = at.channels, components = at.components;
    for (std::int64_t k = at.odd_channel >= 0 ? 1 : 0; k < components; ++k) {
        const float* from = in + at.channel[static_cast<std::size_t>(k)];
        for (std::int64_t x = 0; x < at.width; ++x) sample[x * components + k] = from[x * channels];
    }
    if (at.odd_channel < 0) return;
    const int cb = at.channel[0], cr = at.odd_channel;
    for (std::int64_t x = 0; x < at.width; x += 2) {
        const bool pair = x + 1 < at.width;
        const float* here = in + x * channels;
        const float* next = pair ? here + channels : here;
        sample[x * components] = shared(here[cb], next[cb]);
        if (pair) sample[(x + 1) * components] = shared(here[cr], next[cr]);
    }
}

template <bool Big>
void read_floats(const std::uint8_t* p, std::int64_t n, float* out) {
    for (std::int64_t i = 0; i < n; ++i) {
        const std::uint32_t v = load32(p + 4 * i, Big);
        std::memcpy(out + i, &v, sizeof v);
    }
}

template <bool Big>
void write_floats(std::uint8_t* p, std::int64_t n, const float* in) {
    for (std::int64_t i = 0; i < n; ++i) {
        std::uint32_t v;
        std::memcpy(&v, in + i, sizeof v);
        store32(p + 4 * i, v, Big);
    }
}

template <bool Big>
bool unpack_rows(const Layout& at, const std::uint8_t* data, float* out, std::int64_t rows) {
    const std::int64_t n = at.samples();
    const bool direct = at.identity();
    std::vector<std::uint16_t> code(static_cast<std::size_t>(at.bits == 32 ? 0 : n));
    std::vector<float> sample(static_cast<std::size_t>(direct ? 0 : n));
    const float neutral =
        at.bits == 32 ? 0.0f : static_cast<float>(1u << (at.bits - 1)) / at.max_code();
    std::uint32_t fill = 0;
    for (std::int64_t y = 0; y < rows; ++y) {
        const std::uint8_t* row = data + y * at.row_bytes;
        const std::uint8_t* end = row + 4 * n;
        float* pixels = out + y * at.width * at.channels;
        float* samples = direct ? pixels : sample.data();
        if (at.bits == 32) {
            read_floats<Big>(row, n, samples);
        } else {
            end = read_codes<Big>(at, row, code.data(), fill);
            to_floats(code.data(), n, at.max_code(), samples);
        }
        if (!direct) spread(at, samples, neutral, pixels);
        if (any_nonzero(end, row + at.row_bytes)) fill |= 1;
    }
    return fill != 0;
}

template <bool Big>
void pack_rows(const Layout& at, const float* in, std::uint8_t* data, std::int64_t rows) {
    const std::int64_t n = at.samples();
    const bool direct = at.identity();
    std::vector<std::uint16_t> code(static_cast<std::size_t>(at.bits == 32 ? 0 : n));
    std::vector<float> sample(static_cast<std::size_t>(direct ? 0 : n));
    for (std::int64_t y = 0; y < rows; ++y) {
        std::uint8_t* row = data + y * at.row_bytes;
        std::uint8_t* end = row + 4 * n;
        const float* samples = in + y * at.width * at.channels;
        if (!direct) {
            gather(at, samples, sample.data());
            samples = sample.data();
        }
        if (at.bits == 32) {
            write_floats<Big>(row, n, samples);
        } else {
            if (at.bits == 16)
                to_long_codes(samples, n, at.max_code(), code.data());
            else
                to_short_codes(samples, n, at.max_code(), code.data());
            end = write_codes<Big>(at, row, code.data());
        }
        std::memset(end, 0, static_cast<std::size_t>(row + at.row_bytes - end));
    }
}

// ---- the border -------------------------------------------------------------------------------

std::int64_t sample_bytes(const Layout& at) {
    const std::int64_t n = at.samples();
    if (at.bits == 8 || at.bits == 16 || at.bits == 32) return n * (at.bits / 8);
    if (at.packing == kPacked) return (n * at.bits + 31) / 32 * 4;
    return at.bits == 10 ? (n + 2) / 3 * 4 : n * 2;
}

Layout checked(const py::array& pixels, std::int64_t data_bytes, std::int64_t row_bytes, int bits,
               int packing, bool big_endian, const std::vector<int>& channel, int odd_channel) {
    if (pixels.ndim() != 3 || !(pixels.flags() & py::array::c_style) ||
        !py::isinstance<py::array_t<float>>(pixels))
        throw std::invalid_argument("pixels must be float32 (rows, width, channel) in C order");
    Layout at;
    at.width = pixels.shape(1);
    at.channels = pixels.shape(2);
    at.row_bytes = row_bytes;
    at.bits = bits;
    at.packing = packing;
    at.big_endian = big_endian;
    at.components = static_cast<int>(channel.size());
    at.odd_channel = odd_channel;
    if (bits != 8 && bits != 10 && bits != 12 && bits != 16 && bits != 32)
        throw std::invalid_argument("bits must be 8, 10, 12, 16 or 32, got " + std::to_string(bits));
    if (packing < kPacked || packing > kMethodB)
        throw std::invalid_argument("packing must be 0, 1 or 2, got " + std::to_string(packing));
    if (channel.empty() || channel.size() > kMaxComponents || at.width < 1 || at.width > 1 << 24)
        throw std::invalid_argument("an element has 1 to 4 components and 1 to 2^24 columns");
    if (odd_channel < -1 || odd_channel >= at.channels)
        throw std::invalid_argument("odd_channel is outside the pixels");
    for (std::size_t i = 0; i < channel.size(); ++i) {
        if (channel[i] < 0 || channel[i] >= at.channels)
            throw std::invalid_argument("component " + std::to_string(i) + " is outside the pixels");
        at.channel[i] = channel[i];
    }
    if (row_bytes < sample_bytes(at) || row_bytes > std::int64_t(1) << 40)
        throw std::invalid_argument("a row needs " + std::to_string(sample_bytes(at)) +
                                    " bytes, row_bytes is " + std::to_string(row_bytes));
    if (data_bytes / row_bytes < pixels.shape(0))
        throw std::invalid_argument(std::to_string(pixels.shape(0)) + " rows of " +
                                    std::to_string(row_bytes) + " bytes do not fit in " +
                                    std::to_string(data_bytes));
    return at;
}

using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

bool unpack(const Bytes& data, py::array pixels, std::int64_t row_bytes, int bits, int packing,
            bool big_endian, const std::vector<int>& channel, int odd_channel) {
    const Layout at = checked(pixels, data.nbytes(), row_bytes, bits, packing, big_endian, channel,
                              odd_channel);
    const std::uint8_t* from = data.data();
    auto* to = static_cast<float*>(pixels.mutable_data());
    const std::int64_t rows = pixels.shape(0);
    py::gil_scoped_release release;
    return big_endian ? unpack_rows<true>(at, from, to, rows)
                      : unpack_rows<false>(at, from, to, rows);
}

void pack(const py::array& pixels, Bytes data, std::int64_t row_bytes, int bits, int packing,
          bool big_endian, const std::vector<int>& channel, int odd_channel) {
    const Layout at = checked(pixels, data.nbytes(), row_bytes, bits, packing, big_endian, channel,
                              odd_channel);
    const auto* from = static_cast<const float*>(pixels.data());
    std::uint8_t* to = data.mutable_data();
    const std::int64_t rows = pixels.shape(0);
    py::gil_scoped_release release;
    if (big_endian)
        pack_rows<true>(at, from, to, rows);
    else
        pack_rows<false>(at, from, to, rows);
}

// ---- recycled frame memory --------------------------------------------------------------------

// Frames of one shot are all of one size, and fresh pages cost more CPU time than decoding into
// them: the kernel clears each one first. A freed frame waits here for the next of its size.
class FramePool {
public:
    std::uint8_t* take(std::size_t bytes) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            for (auto it = free_.begin(); it != free_.end(); ++it) {
                if (it->first != bytes) continue;
                std::uint8_t* block = it->second.release();
                free_.erase(it);
                return block;
            }
        }
        return new std::uint8_t[bytes];
    }

    void give(std::uint8_t* block, std::size_t bytes) {
        std::unique_ptr<std::uint8_t[]> owned(block);
        if (bytes < kWorthwhile || bytes > kMostBytes) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        free_.emplace_back(bytes, std::move(owned));
        std::size_t total = 0;
        for (const auto& entry : free_) total += entry.first;
        while (total > kMostBytes || free_.size() > kMostBlocks) {
            total -= free_.front().first;
            free_.erase(free_.begin());
        }
    }

    void clear() {
        const std::lock_guard<std::mutex> lock(mutex_);
        free_.clear();
    }

private:
    static constexpr std::size_t kWorthwhile = std::size_t(1) << 20;
    static constexpr std::size_t kMostBytes = std::size_t(128) << 20;
    static constexpr std::size_t kMostBlocks = 2;
    std::mutex mutex_;
    std::vector<std::pair<std::size_t, std::unique_ptr<std::uint8_t[]>>> free_;
};

FramePool& pool() {
    // Never destroyed: arrays may die after this library's statics do.
    static auto* instance = new FramePool;
    return *instance;
}

py::array_t<float> empty_frame(std::int64_t height, std::int64_t width, std::int64_t channels) {
    constexpr std::int64_t most = std::int64_t(1) << 38;
    if (height < 1 || width < 1 || channels < 1 || height > most / width / channels)
        throw std::invalid_argument("a frame needs between 1 and 2^38 samples");
    struct Block {
        std::uint8_t* data;
        std::size_t bytes;
    };
    const auto bytes = static_cast<std::size_t>(height * width * channels) * sizeof(float);
    auto block = std::make_unique<Block>(Block{pool().take(bytes), bytes});
    auto* data = reinterpret_cast<float*>(block->data);
    py::capsule owner(block.release(), [](void* p) {
        const std::unique_ptr<Block> held(static_cast<Block*>(p));
        pool().give(held->data, held->bytes);
    });
    return py::array_t<float>({height, width, channels}, data, owner);
}

}  // namespace

void bind_dpx(py::module_& m) {
    m.def("dpx_unpack", &unpack, py::arg("data").noconvert(), py::arg("pixels").noconvert(),
          py::kw_only(), py::arg("row_bytes"), py::arg("bits"), py::arg("packing"),
          py::arg("big_endian"), py::arg("channel"), py::arg("odd_channel") = -1,
          "Decode whole rows into float32 (rows, width, channel); True when fill bits are set.");
    m.def("dpx_pack", &pack, py::arg("pixels").noconvert(), py::arg("data").noconvert(),
          py::kw_only(), py::arg("row_bytes"), py::arg("bits"), py::arg("packing"),
          py::arg("big_endian"), py::arg("channel"), py::arg("odd_channel") = -1,
          "Encode float32 (rows, width, channel) into whole rows; fill bits become zero.");
    m.def("empty_frame", &empty_frame, py::arg("height"), py::arg("width"), py::arg("channels"),
          "Return an uninitialised float32 array from recycled memory.");
    m.def("trim_frames", [] { pool().clear(); }, "Give recycled frame memory back to the system.");
}
