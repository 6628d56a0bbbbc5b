// DPX samples of one row: file bytes <-> integer codes, for every depth, packing and byte order.
#include "dpx_codes.hpp"

namespace wetgate::dpx {

namespace {

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
const std::uint8_t* read_row(const Layout& at, const std::uint8_t* p, std::uint16_t* code,
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
std::uint8_t* write_row(const Layout& at, std::uint8_t* p, const std::uint16_t* code) {
    const std::int64_t n = at.samples();
    if (at.bits == 8) return write8(p, n, code);
    if (at.bits == 16) return write16<Big>(p, n, 0, code);
    if (at.packing == kPacked) return write_packed<Big>(p, n, at.bits, code);
    if (at.bits == 10)
        return write10<Big>(p, n, at.packing == kMethodA ? 2 : 0, at.low_first(), code);
    return write16<Big>(p, n, at.packing == kMethodA ? 4 : 0, code);
}

}  // namespace

const std::uint8_t* read_codes(const Layout& at, const std::uint8_t* row, std::uint16_t* code,
                               std::uint32_t& fill) {
    return at.big_endian ? read_row<true>(at, row, code, fill)
                         : read_row<false>(at, row, code, fill);
}

std::uint8_t* write_codes(const Layout& at, std::uint8_t* row, const std::uint16_t* code) {
    return at.big_endian ? write_row<true>(at, row, code) : write_row<false>(at, row, code);
}

}  // namespace wetgate::dpx
