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

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "dpx_codes.hpp"

namespace py = pybind11;

namespace {

using namespace wetgate::dpx;

bool any_nonzero(const std::uint8_t* p, const std::uint8_t* end) {
    std::uint8_t seen = 0;
    for (; p < end; ++p) seen |= *p;
    return seen != 0;
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
            end = read_codes(at, row, code.data(), fill);
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
            end = write_codes(at, row, code.data());
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
}
