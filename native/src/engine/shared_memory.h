// Memory that processes of one host share. A segment has no name (memfd): it is gone with the last process
// that holds it, whichever way that process ends. Linux.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace lepton {

/// Where another process finds a segment: a descriptor of its owner, and a key that proves that it is the one
/// meant.
struct SegmentAddress {
  std::int64_t process = 0;
  std::int64_t descriptor = 0;
  std::string key;
};

/// This host and its process ids as one text: only processes with equal ones can find each other's segments.
/// Empty where the kernel does not say.
std::string host_identity();

/// A descriptor of memory without a name and without a size, for another process that keeps a segment in it.
/// Closing it is the caller's duty. Throws EngineError ENGINE_MEMORY.
int create_memory();

/// An open descriptor, closed with its last owner.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();
  int number() const { return number_; }

 private:
  int number_;
};

/// `bytes` of zeros that this process may write, and those who know the address may read. Its size is sealed,
/// so no reader can be made to fault; all of it is allocated at once. Throws EngineError ENGINE_MEMORY.
class Segment {
 public:
  static Segment create(std::size_t bytes);
  /// A segment in the file at `path`, of memory that somebody else keeps as well: it outlives this process,
  /// and whoever keeps a segment of `bytes` there again finds it as it was. What has another size begins anew
  /// as zeros. Sealed where `path` leads to memory of `create_memory`; others open no segment that is not.
  static Segment keep(const std::string& path, std::size_t bytes);
  /// Throws EngineError ENGINE_ARGUMENT unless the address leads to a segment of `bytes` with this key,
  /// sealed or this process's own.
  static Segment open(const SegmentAddress& address, std::size_t bytes);

  const SegmentAddress& address() const { return address_; }
  std::size_t bytes() const { return bytes_; }
  /// Whole pages. The memory lives as long as this pointer does.
  const std::shared_ptr<std::byte[]>& memory() const { return memory_; }
  const Descriptor& descriptor() const { return *descriptor_; }

 private:
  /// Takes the descriptor.
  static Segment allocate(int number, std::size_t bytes);
  void take_address(std::string key);

  SegmentAddress address_;
  std::size_t bytes_ = 0;
  std::shared_ptr<const Descriptor> descriptor_;
  std::shared_ptr<std::byte[]> memory_;
};

/// An arena in whole pages, into which ranges of segments can be laid: they are then read there without a
/// copy.
class PagedArena {
 public:
  /// Throws EngineError ENGINE_MEMORY.
  explicit PagedArena(std::size_t bytes);
  const std::shared_ptr<std::byte[]>& memory() const { return memory_; }
  /// Shows bytes [from, from + count) of the segment at `at`, read-only. Both positions are at pages'
  /// borders; the rest of the last page is the segment's as well. Throws EngineError ENGINE_ARGUMENT.
  void lay(std::size_t at, const Segment& segment, std::size_t from, std::size_t count);

 private:
  std::size_t bytes_;
  std::shared_ptr<std::byte[]> memory_;
};

}  // namespace lepton
