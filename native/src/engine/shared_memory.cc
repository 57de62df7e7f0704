#include "engine/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>

#include "graph/error.h"

namespace lepton {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr std::size_t kKeyBytes = 16;

std::size_t page() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::size_t in_pages(std::size_t bytes) { return (bytes + page() - 1) / page() * page(); }

[[noreturn]] void no_memory(const std::string& what, std::size_t bytes) {
  throw EngineError("ENGINE_MEMORY",
                    what + " of " + std::to_string(bytes) + " bytes: " + std::strerror(errno));
}

[[noreturn]] void not_it(const SegmentAddress& address, const std::string& reason) {
  throw EngineError("ENGINE_ARGUMENT", "shared memory " + std::to_string(address.descriptor) +
                                           " of process " + std::to_string(address.process) + ": " + reason);
}

/// The kernel would kill somebody rather than refuse. Without a figure it is not asked.
bool is_available(std::size_t bytes) {
  std::ifstream figures("/proc/meminfo");
  std::string name;
  std::size_t kilobytes = 0;
  while (figures >> name >> kilobytes) {
    if (name == "MemAvailable:") return bytes / 1024 < kilobytes;
    figures.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return true;
}

std::shared_ptr<std::byte[]> map(std::size_t bytes, int protection, int flags, int descriptor) {
  void* memory = mmap(nullptr, bytes, protection, flags, descriptor, 0);
  if (memory == MAP_FAILED) no_memory("a mapping", bytes);
  return {static_cast<std::byte*>(memory), [bytes](std::byte* owned) { munmap(owned, bytes); }};
}

std::string fresh_key() {
  std::array<unsigned char, kKeyBytes> random{};
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    no_memory("a random key", random.size());
  std::string key;
  for (const unsigned char byte : random) {
    constexpr char kDigits[] = "0123456789abcdef";
    key += kDigits[byte >> 4];
    key += kDigits[byte & 15];
  }
  return key;
}

}  // namespace

Descriptor::~Descriptor() { close(number_); }

int create_memory() {
  const int number = memfd_create("lepton", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (number < 0) no_memory("shared memory", 0);
  return number;
}

std::string host_identity() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::array<char, 64> space{};
  const ssize_t length = readlink("/proc/self/ns/pid", space.data(), space.size());
  if (boot.empty() || length <= 0) return "";
  return boot + " " + std::string(space.data(), static_cast<std::size_t>(length));
}

Segment Segment::create(std::size_t bytes) {
  Segment segment = allocate(create_memory(), bytes);
  if (fcntl(segment.descriptor().number(), F_ADD_SEALS, kSeals) != 0)
    no_memory("seals of shared memory", bytes);
  segment.take_address(fresh_key());
  return segment;
}

Segment Segment::keep(const std::string& path, std::size_t bytes) {
  const int number = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
  if (number < 0) no_memory(path, bytes);
  Segment segment = allocate(number, bytes);
  // Memory that others must be able to trust is sealed already, or can be; a file of a file system cannot.
  fcntl(number, F_ADD_SEALS, kSeals);
  const auto* kept = reinterpret_cast<const char*>(segment.memory_.get()) + in_pages(bytes);
  segment.take_address(*kept == 0 ? fresh_key() : std::string(kept, 2 * kKeyBytes));
  return segment;
}

// The key lies in a page of its own behind the data.
Segment Segment::allocate(int number, std::size_t bytes) {
  Segment segment;
  segment.descriptor_ = std::make_shared<const Descriptor>(number);
  segment.bytes_ = bytes;
  const std::size_t total = in_pages(bytes) + page();
  struct stat status{};
  if (fstat(number, &status) != 0) no_memory("shared memory", total);
  if (static_cast<std::size_t>(status.st_size) != total) {
    if (status.st_size != 0 && ftruncate(number, 0) != 0) no_memory("shared memory", total);
    errno = ENOMEM;
    if (!is_available(total)) no_memory("shared memory", total);
    // Without this, a full memory would be a signal at some later write.
    if (fallocate(number, 0, 0, static_cast<off_t>(total)) != 0) no_memory("shared memory", total);
  }
  segment.memory_ = map(total, PROT_READ | PROT_WRITE, MAP_SHARED, number);
  return segment;
}

void Segment::take_address(std::string key) {
  address_ = {.process = getpid(), .descriptor = descriptor_->number(), .key = std::move(key)};
  std::memcpy(memory_.get() + in_pages(bytes_), address_.key.data(), address_.key.size());
}

Segment Segment::open(const SegmentAddress& address, std::size_t bytes) {
  const std::string path =
      "/proc/" + std::to_string(address.process) + "/fd/" + std::to_string(address.descriptor);
  // Whatever else stands there must not hold us up.
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (number < 0) not_it(address, std::strerror(errno));
  Segment segment;
  segment.descriptor_ = std::make_shared<const Descriptor>(number);
  // What this process keeps itself it does not shrink, in whatever file it lies.
  const int seals = address.process == getpid() ? kSeals : fcntl(number, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) not_it(address, "expected sealed memory");
  struct stat status{};
  const std::size_t data = in_pages(bytes);
  const std::size_t total = data + page();
  if (fstat(number, &status) != 0 || static_cast<std::size_t>(status.st_size) != total)
    not_it(address, "expected " + std::to_string(total) + " bytes, got " + std::to_string(status.st_size));
  segment.memory_ = map(total, PROT_READ, MAP_SHARED, number);
  if (address.key.size() != 2 * kKeyBytes ||
      std::memcmp(segment.memory_.get() + data, address.key.data(), address.key.size()) != 0)
    not_it(address, "it has another key");
  segment.address_ = address;
  segment.bytes_ = bytes;
  return segment;
}

PagedArena::PagedArena(std::size_t bytes)
    : bytes_(in_pages(bytes > 0 ? bytes : 1)),
      memory_(map(bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1)) {}

void PagedArena::lay(std::size_t at, const Segment& segment, std::size_t from, std::size_t count) {
  const std::size_t whole = in_pages(count);
  const bool fits = at % page() == 0 && from % page() == 0 && at <= bytes_ && whole <= bytes_ - at &&
                    from <= in_pages(segment.bytes()) && whole <= in_pages(segment.bytes()) - from;
  if (!fits)
    throw EngineError("ENGINE_ARGUMENT",
                      "arena: expected a range of pages inside the arena and the segment, got " +
                          std::to_string(count) + " bytes from " + std::to_string(from) + " at " +
                          std::to_string(at));
  if (whole == 0) return;
  void* laid = mmap(memory_.get() + at, whole, PROT_READ, MAP_SHARED | MAP_FIXED,
                    segment.descriptor().number(), static_cast<off_t>(from));
  if (laid == MAP_FAILED) no_memory("a mapping", whole);
}

}  // namespace lepton
