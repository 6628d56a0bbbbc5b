// Memory of frames, handed from one that dies to the next of its size; and of all else, handed
// back to the system where there is little.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

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

// Left alone, glibc keeps freed blocks of up to 32 MB for the next ones of that thread, and where
// sizes vary a few hundred MB gather that nobody uses. Other systems map large blocks one by one.
bool return_blocks(int bytes) {
    if (bytes < 1) throw std::invalid_argument("return_blocks: at least a byte");
#if defined(__GLIBC__)
    // Both are named: each left out would move with the sizes that are freed.
    return mallopt(M_MMAP_THRESHOLD, bytes) == 1 && mallopt(M_TRIM_THRESHOLD, bytes) == 1;
#else
    return false;
#endif
}

}  // namespace

void bind_frames(py::module_& m) {
    m.def("empty_frame", &empty_frame, py::arg("height"), py::arg("width"), py::arg("channels"),
          "Return an uninitialised float32 array from recycled memory.");
    m.def("trim_frames", [] { pool().clear(); }, "Give recycled frame memory back to the system.");
    m.def("return_blocks", &return_blocks, py::arg("bytes"),
          "Have freed blocks of that size and more go back to the system at once; False where this "
          "cannot be told the allocator.");
}
