// The evidence of dirt: a frame against its neighbors laid over it, px by px.
//
// One pass over rows that stay in cache, where numpy would write a plane for every step. Every
// value is a whole number of steps (or half of one) small enough to be exact in float32, or is
// made by the same operations in the same order for a px in whatever tile it lies.
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
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
using Bools = py::array_t<bool, py::array::c_style>;
using Vectors = py::array_t<std::int16_t, py::array::c_style>;
using Places = py::array_t<std::int64_t, py::array::c_style>;

constexpr float ABSENT = float(1 << 20);  // beyond every difference

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument("evidence: " + text); }

// Where px lie between the middles of cells, along one axis.
struct Between {
    std::vector<int> first, last;
    std::vector<float> along;
    Between(int start, int count, int frame_end, int cell, int cells) : first(count), last(count), along(count) {
        for (int i = 0; i < count; ++i) {
            const int at = std::clamp(start + i, 0, frame_end - 1);
            const double t = std::clamp((at + 0.5) / cell - 0.5, 0.0, double(cells - 1));
            first[i] = std::min(int(t), std::max(cells - 2, 0));
            last[i] = std::min(first[i] + 1, cells - 1);
            along[i] = float(t - first[i]);
        }
    }
};

WIDE void light_row(const float* upper, const int* first, const int* last, const float* along, int n, float steps,
                    float* ALONE light) {
    for (int x = 0; x < n; ++x) {
        const float a = upper[first[x]], b = upper[last[x]];
        light[x] = std::nearbyint((a + (b - a) * along[x]) * steps);
    }
}

// What the neighbor shows there, in steps, with the change of light; and the extremes of 3 px.
WIDE void there_row(const float* moved, const float* light, int n, float most, float* ALONE there, float* ALONE high,
                    float* ALONE low) {
    for (int x = 0; x < n; ++x)
        there[x] = std::min(std::max(std::nearbyint(moved[x]), -most), most) + light[x];
    for (int x = 1; x < n - 1; ++x) {
        high[x] = std::max(std::max(there[x - 1], there[x]), there[x + 1]);
        low[x] = std::min(std::min(there[x - 1], there[x]), there[x + 1]);
    }
    for (int x : {0, n - 1}) {
        high[x] = std::max(std::max(there[std::max(x - 1, 0)], there[x]), there[std::min(x + 1, n - 1)]);
        low[x] = std::min(std::min(there[std::max(x - 1, 0)], there[x]), there[std::min(x + 1, n - 1)]);
    }
}

WIDE void differ_row(const float* center, const float* there, const float* const (&high)[3],
                     const float* const (&low)[3], const float* seen, int n, float* ALONE difference,
                     float* ALONE above, float* ALONE below) {
    for (int x = 0; x < n; ++x) {
        const float c = center[x];
        const float h = std::max(std::max(high[0][x], high[1][x]), high[2][x]);
        const float l = std::min(std::min(low[0][x], low[1][x]), low[2][x]);
        const bool visible = seen[x] > 0.f;
        difference[x] = visible ? c - there[x] : 0.f;
        above[x] = visible ? c - h : 0.f;
        below[x] = visible ? c - l : 0.f;
    }
}

WIDE void seen_row(const float* seen, const float* trust, int n, std::uint8_t* ALONE visible, float* ALONE trusted) {
    for (int x = 0; x < n; ++x) visible[x] = std::uint8_t(int(seen[x] > 0.f));
    for (int x = 0; x < n; ++x) trusted[x] = seen[x] > 0.f ? trust[x] : 0.f;
}

template <class T>
void like(const T& plane, const Array& center, const char* name) {
    if (plane.ndim() != 2 || plane.shape(0) != center.shape(0) || plane.shape(1) != center.shape(1))
        refuse(std::string(name) + " is not of the center's size");
}

py::tuple lay_over(Array center, Array moved, Array seen, Array offset, int cell, Bytes trust, int trust_scale,
                   std::array<int, 2> origin, std::array<int, 2> frame, float steps, float most) {
    if (center.ndim() != 2 || center.size() == 0) refuse("center is (height, width)");
    like(moved, center, "moved");
    like(seen, center, "seen");
    if (offset.ndim() != 2 || trust.ndim() != 2 || offset.size() == 0 || trust.size() == 0)
        refuse("offset and trust are (rows, columns)");
    if (cell < 1 || trust_scale < 1 || frame[0] < 1 || frame[1] < 1) refuse("cells and frame have a size");
    const int h = int(center.shape(0)), w = int(center.shape(1));
    Array difference({h, w}), above({h, w}), below({h, w}), trusted({h, w}), light({h, w});
    Bools visible({h, w});
    const float *c = center.data(), *m = moved.data(), *s = seen.data(), *cells = offset.data();
    const std::uint8_t* codes = trust.data();
    const int cell_rows = int(offset.shape(0)), cell_columns = int(offset.shape(1));
    const int trust_rows = int(trust.shape(0)), trust_columns = int(trust.shape(1));
    float *d = difference.mutable_data(), *a = above.mutable_data(), *b = below.mutable_data();
    float *t = trusted.mutable_data(), *l = light.mutable_data();
    std::uint8_t* v = reinterpret_cast<std::uint8_t*>(visible.mutable_data());
    static_assert(sizeof(bool) == 1, "numpy's bool is a byte");
    {
        py::gil_scoped_release release;
        const Between y_cells(origin[1], h, frame[1], cell, cell_rows), x_cells(origin[0], w, frame[0], cell, cell_columns);
        std::vector<int> trust_x(w);
        for (int x = 0; x < w; ++x)
            trust_x[x] = std::min(std::clamp(origin[0] + x, 0, frame[0] - 1) / trust_scale, trust_columns - 1);
        float share[256];
        for (int k = 0; k < 256; ++k) share[k] = float(k) / 255.f;
        int trust_row = -1;
        std::vector<float> trust_line(w), upper(cell_columns), lines[3][3];  // by row modulo 3: there, high, low
        for (auto& of_row : lines)
            for (auto& line : of_row) line.resize(w);
        const auto lay = [&](int y) {
            const float *top = cells + std::ptrdiff_t(y_cells.first[y]) * cell_columns,
                        *bottom = cells + std::ptrdiff_t(y_cells.last[y]) * cell_columns;
            for (int x = 0; x < cell_columns; ++x) upper[x] = top[x] + (bottom[x] - top[x]) * y_cells.along[y];
            const std::ptrdiff_t o = std::ptrdiff_t(y) * w;
            light_row(upper.data(), x_cells.first.data(), x_cells.last.data(), x_cells.along.data(), w, steps, l + o);
            auto& line = lines[y % 3];
            there_row(m + o, l + o, w, 2.f * most, line[0].data(), line[1].data(), line[2].data());
        };
        lay(0);
        for (int y = 0; y < h; ++y) {
            if (y + 1 < h) lay(y + 1);
            const auto &up = lines[(y > 0 ? y - 1 : y) % 3], &here = lines[y % 3], &down = lines[(y + 1 < h ? y + 1 : y) % 3];
            const std::ptrdiff_t o = std::ptrdiff_t(y) * w;
            differ_row(c + o, here[0].data(), {up[1].data(), here[1].data(), down[1].data()},
                       {up[2].data(), here[2].data(), down[2].data()}, s + o, w, d + o, a + o, b + o);
            const int row = std::min(std::clamp(origin[1] + y, 0, frame[1] - 1) / trust_scale, trust_rows - 1);
            if (row != trust_row) {
                const std::uint8_t* code = codes + std::ptrdiff_t(trust_row = row) * trust_columns;
                for (int x = 0; x < w; ++x) trust_line[x] = share[code[trust_x[x]]];
            }
            seen_row(s + o, trust_line.data(), w, v + o, t + o);
        }
    }
    return py::make_tuple(difference, above, below, visible, trusted, light);
}

struct Beside {
    const float *difference, *above, *below, *trust;
    const std::uint8_t* seen;  // 0 or 1
    bool near, later;
};

struct Lines {
    std::vector<float> count, total, least, most;
    explicit Lines(int n) : count(n), total(n), least(n), most(n) {}
    void clear() {
        std::fill(count.begin(), count.end(), 0.f);
        std::fill(total.begin(), total.end(), 0.f);
        std::fill(least.begin(), least.end(), ABSENT);
        std::fill(most.begin(), most.end(), -ABSENT);
    }
};

WIDE void show_row(const std::uint8_t* seen, int n, float* ALONE shown, std::uint8_t* ALONE side) {
    for (int x = 0; x < n; ++x) shown[x] = float(seen[x]);
    for (int x = 0; x < n; ++x) side[x] |= seen[x];
}

WIDE void widen_row(const float* shown, const float* low, const float* high, int n, float* ALONE least,
                    float* ALONE most) {
    for (int x = 0; x < n; ++x) {
        least[x] = std::min(least[x], shown[x] > 0.f ? low[x] : ABSENT);
        most[x] = std::max(most[x], shown[x] > 0.f ? high[x] : -ABSENT);
    }
}

WIDE void add_row(const float* shown, const float* difference, int n, float* ALONE count, float* ALONE total) {
    for (int x = 0; x < n; ++x) {
        count[x] += shown[x];
        total[x] += difference[x];
    }
}

// The middle of all differences: their mean without the least and the largest of three or more.
WIDE void middle_row(const float* count, const float* total, const float* least, const float* most, int n,
                     float* ALONE middle, float* ALONE range) {
    for (int x = 0; x < n; ++x) {
        const bool many = count[x] >= 3.f;
        const float inner = many ? total[x] - least[x] - most[x] : total[x];
        middle[x] = inner / (many ? count[x] - 2.f : std::max(count[x], 1.f));
        range[x] = count[x] >= 2.f ? most[x] - least[x] : 0.f;
    }
}

// The value nearest to 0 where all have one sign, else 0.
WIDE void agreed_row(const float* least, const float* most, int n, float unit, float* ALONE out) {
    for (int x = 0; x < n; ++x) {
        const float bright = ((least[x] > 0.f) & (least[x] < ABSENT)) ? least[x] : 0.f;
        const float dark = ((most[x] < 0.f) & (most[x] > -ABSENT)) ? most[x] : 0.f;
        out[x] = (bright + dark) * unit;
    }
}

WIDE void flattest_row(const float* shown, const float* above, const float* below, int n, float* ALONE least) {
    for (int x = 0; x < n; ++x) least[x] = std::min(least[x], shown[x] > 0.f ? below[x] - above[x] : ABSENT);
}

WIDE void side_row(const std::uint8_t* before, const std::uint8_t* after, const float* flattest, int n, float unit,
                   std::uint8_t* ALONE sides, float* ALONE texture) {
    for (int x = 0; x < n; ++x) sides[x] = std::uint8_t(before[x] + after[x]);
    for (int x = 0; x < n; ++x) {
        const float both = float(before[x]) + float(after[x]);
        texture[x] = both > 0.f ? flattest[x] * unit : 0.f;
    }
}

WIDE void better_row(const float* trust, int n, float* ALONE best) {
    for (int x = 0; x < n; ++x) best[x] = std::max(best[x], trust[x]);
}

py::tuple compare(const std::vector<py::tuple>& neighbors, int h, int w, float unit) {
    if (neighbors.empty() || h < 1 || w < 1) refuse("there are neighbors, and they have a size");
    std::vector<Beside> beside;
    std::vector<py::object> keep;
    Array shape({h, w});
    for (const py::tuple& n : neighbors) {
        if (n.size() != 7) refuse("a neighbor is difference, above, below, trust, seen, near, later");
        std::array<Array, 4> planes{n[0].cast<Array>(), n[1].cast<Array>(), n[2].cast<Array>(), n[3].cast<Array>()};
        const auto seen = n[4].cast<Bools>();
        for (const Array& plane : planes) like(plane, shape, "a plane");
        like(seen, shape, "seen");
        beside.push_back({planes[0].data(), planes[1].data(), planes[2].data(), planes[3].data(),
                          reinterpret_cast<const std::uint8_t*>(seen.data()), n[5].cast<bool>(), n[6].cast<bool>()});
        keep.insert(keep.end(), planes.begin(), planes.end());
        keep.push_back(seen);
    }
    if (std::none_of(beside.begin(), beside.end(), [](const Beside& b) { return b.near; })) refuse("one is near");
    Array middle({h, w}), range({h, w}), spike({h, w}), spike_all({h, w}), rank({h, w}), texture({h, w}), trust({h, w});
    Bytes sides({h, w});
    float *to_middle = middle.mutable_data(), *to_range = range.mutable_data(), *to_spike = spike.mutable_data(),
          *to_all = spike_all.mutable_data(), *to_rank = rank.mutable_data(), *to_texture = texture.mutable_data(),
          *to_trust = trust.mutable_data();
    std::uint8_t* to_sides = sides.mutable_data();
    {
        py::gil_scoped_release release;
        Lines all(w), near(w), about(w);
        std::vector<float> flattest(w), shown_line(w);
        const float* shown = shown_line.data();
        std::vector<std::uint8_t> side[2];
        for (auto& s : side) s.resize(w);
        for (int y = 0; y < h; ++y) {
            const std::ptrdiff_t o = std::ptrdiff_t(y) * w;
            for (Lines* lines : {&all, &near, &about}) lines->clear();
            std::fill(flattest.begin(), flattest.end(), ABSENT);
            std::fill(to_trust + o, to_trust + o + w, 0.f);
            for (auto& s : side) std::fill(s.begin(), s.end(), std::uint8_t(0));
            for (const Beside& b : beside) {
                show_row(b.seen + o, w, shown_line.data(), side[b.later].data());
                add_row(shown, b.difference + o, w, all.count.data(), all.total.data());
                widen_row(shown, b.difference + o, b.difference + o, w, all.least.data(), all.most.data());
                if (!b.near) continue;
                widen_row(shown, b.difference + o, b.difference + o, w, near.least.data(), near.most.data());
                widen_row(shown, b.above + o, b.below + o, w, about.least.data(), about.most.data());
                flattest_row(shown, b.above + o, b.below + o, w, flattest.data());
                better_row(b.trust + o, w, to_trust + o);
            }
            middle_row(all.count.data(), all.total.data(), all.least.data(), all.most.data(), w, to_middle + o,
                       to_range + o);
            agreed_row(near.least.data(), near.most.data(), w, unit, to_spike + o);
            agreed_row(all.least.data(), all.most.data(), w, unit, to_all + o);
            agreed_row(about.least.data(), about.most.data(), w, unit, to_rank + o);
            side_row(side[0].data(), side[1].data(), flattest.data(), w, unit, to_sides + o, to_texture + o);
        }
    }
    return py::make_tuple(middle, range, spike, spike_all, rank, texture, trust, sides);
}

// Vectors of a coarse field, linear between its samples; of whole frames, so the same in any tile.
struct Field {
    const std::int16_t* data;
    int rows, columns;
    double scale;
    std::array<double, 2> at(std::int64_t y, std::int64_t x) const {
        const double v = (double(y) + 0.5) / scale - 0.5, u = (double(x) + 0.5) / scale - 0.5;
        const double row = std::floor(v), column = std::floor(u), down = v - row, along = u - column;
        const auto within = [](double i, int n) { return std::ptrdiff_t(std::clamp(i, 0.0, double(n - 1))); };
        const std::ptrdiff_t r0 = within(row, rows) * columns, r1 = within(row + 1.0, rows) * columns;
        const std::ptrdiff_t c0 = within(column, columns), c1 = within(column + 1.0, columns);
        std::array<double, 2> out;
        for (int i = 0; i < 2; ++i) {
            const auto sample = [&](std::ptrdiff_t r, std::ptrdiff_t c) { return double(data[2 * (r + c) + i]); };
            const double top = sample(r0, c0) * (1.0 - along) + sample(r0, c1) * along;
            const double bottom = sample(r1, c0) * (1.0 - along) + sample(r1, c1) * along;
            out[i] = (top * (1.0 - down) + bottom * down) / 32.0;
        }
        return out;
    }
};

Field field_of(const Vectors& vectors, int scale) {
    if (vectors.ndim() != 3 || vectors.shape(2) != 2 || vectors.size() == 0) refuse("vectors are (rows, columns, 2)");
    if (scale < 1) refuse("scale must be positive");
    return {vectors.data(), int(vectors.shape(0)), int(vectors.shape(1)), double(scale)};
}

py::ssize_t count_of(const Places& y, const Places& x) {
    if (y.ndim() != 1 || x.ndim() != 1 || y.size() != x.size()) refuse("places have one y and one x each");
    return y.size();
}

py::array_t<double> displacement(Vectors vectors, int scale, Places y, Places x) {
    const Field field = field_of(vectors, scale);
    const py::ssize_t n = count_of(y, x);
    py::array_t<double> out({n, py::ssize_t(2)});
    const std::int64_t *at_y = y.data(), *at_x = x.data();
    double* o = out.mutable_data();
    py::gil_scoped_release release;
    for (py::ssize_t i = 0; i < n; ++i) {
        const auto move = field.at(at_y[i], at_x[i]);
        o[2 * i] = move[0], o[2 * i + 1] = move[1];
    }
    return out;
}

Array sample_along(py::array_t<float> pixels, Vectors vectors, int scale, Places y, Places x, std::array<int, 2> origin,
                   std::array<int, 2> frame) {
    if (pixels.ndim() != 3 || pixels.size() == 0) refuse("pixels are (height, width, channel)");
    const Field field = field_of(vectors, scale);
    const py::ssize_t n = count_of(y, x), channels = pixels.shape(2);
    const std::ptrdiff_t h = pixels.shape(0), w = pixels.shape(1);
    Array out({n, channels});
    const std::int64_t *place_y = y.data(), *place_x = x.data();
    const auto unit = py::ssize_t(sizeof(float));  // a part of a frame is read where it lies
    const std::ptrdiff_t down_one = pixels.strides(0) / unit, right_one = pixels.strides(1) / unit,
                         next = pixels.strides(2) / unit;
    if (pixels.strides(0) % unit || pixels.strides(1) % unit || pixels.strides(2) % unit) refuse("pixels are unaligned");
    const float* in = pixels.data();
    float* o = out.mutable_data();
    py::gil_scoped_release release;
    const auto limited = [](double at, int origin, int end, std::ptrdiff_t size) {
        at = std::min(std::max(at, double(-origin)), double(end - 1 - origin));
        return std::min(std::max(at, 0.0), double(size - 1));
    };
    for (py::ssize_t i = 0; i < n; ++i) {
        const auto move = field.at(place_y[i] + origin[1], place_x[i] + origin[0]);
        const double ax = limited(double(place_x[i]) + move[0], origin[0], frame[0], w);
        const double ay = limited(double(place_y[i]) + move[1], origin[1], frame[1], h);
        const std::ptrdiff_t c0 = std::min(std::ptrdiff_t(ax), std::max<std::ptrdiff_t>(w - 2, 0));
        const std::ptrdiff_t r0 = std::min(std::ptrdiff_t(ay), std::max<std::ptrdiff_t>(h - 2, 0));
        const std::ptrdiff_t c1 = std::min(c0 + 1, w - 1), r1 = std::min(r0 + 1, h - 1);
        const float along = float(ax - double(c0)), down = float(ay - double(r0));
        for (py::ssize_t c = 0; c < channels; ++c) {
            const auto at = [&](std::ptrdiff_t r, std::ptrdiff_t k) { return in[r * down_one + k * right_one + c * next]; };
            const float top = at(r0, c0) * (1.f - along) + at(r0, c1) * along;
            const float bottom = at(r1, c0) * (1.f - along) + at(r1, c1) * along;
            o[i * channels + c] = top * (1.f - down) + bottom * down;
        }
    }
    return out;
}

}  // namespace

void bind_evidence(py::module_& m) {
    m.def("lay_over", &lay_over, py::arg("center"), py::arg("moved"), py::arg("seen"), py::arg("offset"),
          py::arg("cell"), py::arg("trust"), py::arg("trust_scale"), py::arg("origin"), py::arg("frame"),
          py::arg("steps"), py::arg("most"),
          "Compare a frame with a neighbor warped onto it; see wetgate/operators/dirt/features.py.");
    m.def("compare_neighbors", &compare, py::arg("neighbors"), py::arg("height"), py::arg("width"), py::arg("unit"),
          "What all neighbors of a frame say together; see wetgate/operators/dirt/features.py.");
    m.def("displacement", &displacement, py::arg("vectors"), py::arg("scale"), py::arg("y"), py::arg("x"),
          "Vectors (n, 2), px, at places of the full frame.");
    m.def("sample_along", &sample_along, py::arg("pixels"), py::arg("vectors"), py::arg("scale"), py::arg("y"),
          py::arg("x"), py::arg("origin"), py::arg("frame"),
          "Pixels (n, channel) that places of a region go to, linear between px.");
}
