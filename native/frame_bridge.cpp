// The frame bridge: one frame of float32 samples in a file that two processes share.
//
// Layout, little-endian, header padded to one page so that samples are aligned for any reader:
//   0 magic "WGFRAME\0"   8 version u32   12 dtype u32 (1 = float32)   16 generation u64
//  24 nbytes u64         32 shape 4 x u64 (height, width, channel, 0)
//  64 strides 4 x u64 (bytes)             96 zeros to 4096, then the samples, C order
//
// A frame being written carries generation 0; its own comes last, so that a reader of a reused
// file sees the old frame, none, or the new one. Room is reserved before a file is mapped: a full
// memory file system is then an error and not a dead process. Whoever writes keeps the file
// mapped, because making pages costs several times what copying samples does.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

#ifdef _WIN32
#include <io.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace py = pybind11;

namespace {

using Samples = py::array_t<float, py::array::c_style>;

constexpr char kMagic[8] = {'W', 'G', 'F', 'R', 'A', 'M', 'E', '\0'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kFloat32 = 1;
constexpr std::uint64_t kOffset = 4096;
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 36;
[[maybe_unused]] constexpr std::size_t kChunk = std::size_t{16} << 20;

struct Header {
    char magic[8];
    std::uint32_t version;
    std::uint32_t dtype;
    std::uint64_t generation;
    std::uint64_t nbytes;
    std::uint64_t shape[4];
    std::uint64_t strides[4];
    char zeros[16];
};
static_assert(sizeof(Header) == 112, "the header is what other languages unpack");

// Closes a file when it goes out of scope.
class File {
  public:
    explicit File(int handle) : handle_(handle) {}
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (handle_ >= 0) {
#ifdef _WIN32
            _close(handle_);
#else
            ::close(handle_);
#endif
        }
    }
    int get() const { return handle_; }

  private:
    int handle_;
};

[[noreturn]] void fail(const std::string& path) {
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, path.c_str());
    throw py::error_already_set();
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw py::value_error(path + ": " + why);
}

int open_file(const std::string& path, bool fresh, bool write) {
#ifdef _WIN32
    int flags = _O_BINARY | _O_NOINHERIT | (write ? _O_RDWR : _O_RDONLY);
    if (fresh) flags |= _O_CREAT | _O_EXCL;
    return _open(path.c_str(), flags, _S_IREAD | _S_IWRITE);
#else
    // A pipe in the place of a file must not make us wait for its other end.
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (write ? O_RDWR : O_RDONLY);
    if (fresh) flags |= O_CREAT | O_EXCL;
    return ::open(path.c_str(), flags, 0600);
#endif
}

// Gives a file its size, with the room for it; returns 0 or an errno.
int reserve(int handle, std::uint64_t size) {
#ifdef __linux__
    int why = 0;
    do {
        why = ::posix_fallocate(handle, 0, static_cast<off_t>(size));
    } while (why == EINTR);
    return why;
#else
    const std::vector<char> zeros(static_cast<std::size_t>(std::min<std::uint64_t>(size, kChunk)));
    for (std::uint64_t left = size; left > 0;) {
        const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(left, kChunk));
#ifdef _WIN32
        const long long done = _write(handle, zeros.data(), static_cast<unsigned>(part));
#else
        const ssize_t done = ::write(handle, zeros.data(), part);
#endif
        if (done < 0 && errno != EINTR) return errno;
        if (done > 0) left -= static_cast<std::uint64_t>(done);
    }
    return 0;
#endif
}

Header header_of(const Samples& pixels, std::uint64_t generation) {
    if (pixels.ndim() != 3 || pixels.size() == 0) {
        throw py::value_error("expected samples of shape (height, width, channel), none of them 0");
    }
    if (generation == 0) throw py::value_error("generation 0 marks a frame that is being written");
    Header header{};
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.version = kVersion;
    header.dtype = kFloat32;
    header.generation = generation;
    header.nbytes = static_cast<std::uint64_t>(pixels.nbytes());
    if (header.nbytes > kMaxBytes) throw py::value_error("a frame of more than 64 GiB");
    for (int axis = 0; axis < 3; ++axis) {
        header.shape[axis] = static_cast<std::uint64_t>(pixels.shape(axis));
        header.strides[axis] = static_cast<std::uint64_t>(pixels.strides(axis));
    }
    return header;
}

std::string random_name() {
    static const char digits[] = "0123456789abcdef";
    std::random_device source;  // getentropy, arc4random or rand_s
    std::string name = "wetgate-";
    for (int word = 0; word < 4; ++word) {
        std::uint32_t bits = source();
        for (int at = 0; at < 8; ++at, bits >>= 4) name += digits[bits & 15];
    }
    return name;
}

// Refuses what is not a frame file of this user, complete, and as its header says.
Header checked_header(int handle, const std::string& path) {
    Header header{};
#ifdef _WIN32
    struct _stat64 facts {};
    if (_fstat64(handle, &facts) != 0) fail(path);
    if (_lseeki64(handle, 0, SEEK_SET) < 0) fail(path);
    const long long got = _read(handle, &header, sizeof header);
#else
    struct stat facts {};
    if (::fstat(handle, &facts) != 0) fail(path);
    if (!S_ISREG(facts.st_mode)) refuse(path, "not a plain file");
    if (facts.st_uid != ::geteuid()) refuse(path, "belongs to another user");
    if ((facts.st_mode & 077) != 0) refuse(path, "can be read or written by others");
    const ssize_t got = ::pread(handle, &header, sizeof header, 0);
#endif
    if (got < 0) fail(path);
    if (static_cast<std::size_t>(got) != sizeof header ||
        std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
        refuse(path, "not a frame of wetgate");
    }
    if (header.version != kVersion) refuse(path, "a frame of another version");
    if (header.dtype != kFloat32) refuse(path, "samples of an unknown type");
    std::uint64_t expected = sizeof(float);
    for (int axis = 2; axis >= 0; --axis) {
        if (header.strides[axis] != expected) refuse(path, "strides that are not C order");
        const std::uint64_t count = header.shape[axis];
        // Divided, not multiplied: a product could wrap around to something that fits.
        if (count == 0 || count > kMaxBytes / expected) refuse(path, "a shape that cannot be");
        expected *= count;
    }
    if (header.nbytes != expected) refuse(path, "its shape and its size differ");
    const std::uint64_t size = static_cast<std::uint64_t>(facts.st_size);
    if (size < kOffset || size - kOffset < header.nbytes) refuse(path, "shorter than it says");
    return header;
}

// A private file of a random name that one frame after another of the same size is written to.
class FrameFile {
  public:
    FrameFile(const std::string& directory, std::uint64_t nbytes) : nbytes_(nbytes) {
        if (nbytes == 0 || nbytes > kMaxBytes) throw py::value_error("a frame of no possible size");
        path_ = directory + "/" + random_name();
        file_ = std::make_unique<File>(open_file(path_, true, true));
        if (file_->get() < 0) fail(path_);
        int why = 0;
        {
            py::gil_scoped_release release;
            why = reserve(file_->get(), kOffset + nbytes_);
            if (why == 0) why = map();
        }
        if (why != 0) {
            close();
            remove_file();
            errno = why;
            fail(path_);
        }
    }
    FrameFile(const FrameFile&) = delete;
    FrameFile& operator=(const FrameFile&) = delete;
    ~FrameFile() { close(); }

    py::tuple write(const Samples& pixels, std::uint64_t generation) {
        const Header header = header_of(pixels, generation);
        if (file_ == nullptr) refuse(path_, "closed");
        if (header.nbytes != nbytes_) refuse(path_, "a frame of another size");
        if (generation <= generation_) refuse(path_, "a generation that has been");
        const char* samples = reinterpret_cast<const char*>(pixels.data());
        bool good = false;
        {
            py::gil_scoped_release release;
            good = put(header, samples);
        }
        if (!good) fail(path_);
        generation_ = generation;
        return py::make_tuple(path_, kOffset, nbytes_);
    }

    void close() {
#ifndef _WIN32
        if (at_ != nullptr) ::munmap(at_, static_cast<std::size_t>(kOffset + nbytes_));
        at_ = nullptr;
#endif
        file_.reset();
    }

    const std::string& path() const { return path_; }
    std::uint64_t nbytes() const { return nbytes_; }
    std::uint64_t generation() const { return generation_; }

  private:
#ifdef _WIN32
    int map() { return 0; }

    bool put(const Header& header, const char* samples) {
        Header open = header;
        open.generation = 0;
        return at(0, reinterpret_cast<const char*>(&open), sizeof open) &&
               at(kOffset, samples, header.nbytes) &&
               at(offsetof(Header, generation),
                  reinterpret_cast<const char*>(&header.generation), sizeof header.generation);
    }

    bool at(std::uint64_t offset, const char* data, std::uint64_t count) {
        if (_lseeki64(file_->get(), static_cast<long long>(offset), SEEK_SET) < 0) return false;
        while (count > 0) {
            const auto part = static_cast<unsigned>(std::min<std::uint64_t>(count, kChunk));
            const int done = _write(file_->get(), data, part);
            if (done <= 0) return false;
            data += done;
            count -= static_cast<std::uint64_t>(done);
        }
        return true;
    }

    void remove_file() { _unlink(path_.c_str()); }
#else
    int map() {
        int flags = MAP_SHARED;
#ifdef MAP_POPULATE
        flags |= MAP_POPULATE;
#endif
        const std::size_t size = static_cast<std::size_t>(kOffset + nbytes_);
        void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, file_->get(), 0);
        if (at == MAP_FAILED) return errno;
        at_ = static_cast<char*>(at);
        return 0;
    }

    bool put(const Header& header, const char* samples) {
        auto* generation =
            reinterpret_cast<std::uint64_t*>(at_ + offsetof(Header, generation));
        __atomic_store_n(generation, std::uint64_t{0}, __ATOMIC_SEQ_CST);
        Header open = header;
        open.generation = 0;
        std::memcpy(at_, &open, sizeof open);
        std::memcpy(at_ + kOffset, samples, static_cast<std::size_t>(header.nbytes));
        __atomic_store_n(generation, header.generation, __ATOMIC_SEQ_CST);
        return true;
    }

    void remove_file() { ::unlink(path_.c_str()); }

    char* at_ = nullptr;
#endif
    std::string path_;
    std::uint64_t nbytes_;
    std::uint64_t generation_ = 0;
    std::unique_ptr<File> file_;
};

py::tuple frame_open(const std::string& path) {
    File file(open_file(path, false, false));
    if (file.get() < 0) fail(path);
    const Header header = checked_header(file.get(), path);
    if (header.generation == 0) refuse(path, "a frame that is being written");
    const std::vector<py::ssize_t> shape = {static_cast<py::ssize_t>(header.shape[0]),
                                            static_cast<py::ssize_t>(header.shape[1]),
                                            static_cast<py::ssize_t>(header.shape[2])};
#ifdef _WIN32
    Samples pixels(shape);
    char* into = reinterpret_cast<char*>(pixels.mutable_data());
    if (_lseeki64(file.get(), static_cast<long long>(kOffset), SEEK_SET) < 0) fail(path);
    for (std::uint64_t left = header.nbytes; left > 0;) {
        const int part = static_cast<int>(std::min<std::uint64_t>(left, kChunk));
        const int done = _read(file.get(), into, static_cast<unsigned>(part));
        if (done <= 0) fail(path);
        into += done;
        left -= static_cast<std::uint64_t>(done);
    }
#else
    struct Mapped {
        void* at;
        std::size_t size;
    };
    const std::size_t size = static_cast<std::size_t>(kOffset + header.nbytes);
    int flags = MAP_SHARED;
#ifdef MAP_POPULATE
    flags |= MAP_POPULATE;  // all samples will be looked at: one fault and not thousands
#endif
    void* at = ::mmap(nullptr, size, PROT_READ, flags, file.get(), 0);
    if (at == MAP_FAILED) fail(path);
    py::capsule owner(new Mapped{at, size}, [](void* held) {
        auto* mapped = static_cast<Mapped*>(held);
        ::munmap(mapped->at, mapped->size);
        delete mapped;
    });
    const auto* samples = reinterpret_cast<const float*>(static_cast<const char*>(at) + kOffset);
    py::array_t<float> pixels(shape, samples, owner);
#endif
    py::detail::array_proxy(pixels.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return py::make_tuple(pixels, header.generation);
}

}  // namespace

void bind_frame_bridge(py::module_& m) {
    py::class_<FrameFile>(m, "FrameFile", "A file that one frame after another is written to.")
        .def(py::init<const std::string&, std::uint64_t>(), py::arg("directory"),
             py::arg("nbytes"))
        .def("write", &FrameFile::write, py::arg("pixels").noconvert(), py::arg("generation"),
             "Write a frame; return path, offset and nbytes.")
        .def("close", &FrameFile::close, "Let go of the memory; the file stays.")
        .def_property_readonly("path", &FrameFile::path)
        .def_property_readonly("nbytes", &FrameFile::nbytes)
        .def_property_readonly("generation", &FrameFile::generation);
    m.def("frame_open", &frame_open, py::arg("path"),
          "Map a frame, read only, once all its sizes agree; return samples and generation.");
}
