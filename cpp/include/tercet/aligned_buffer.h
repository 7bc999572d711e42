// Memory for arrays: aligned, zeroed, owned by one object.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace tercet {

// `count` zeroed values of a trivial type in pages of their own, so that untouched pages cost
// nothing and freed ones go back to the system at once. Large buffers that are read from end to end
// (weights) ask for huge pages: a 4 KiB page walk per 4 KiB costs a stream of reads several per
// cent.
template <typename T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  enum class Pages { kSmall, kHuge };

  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t count, Pages pages = Pages::kSmall) : count_(count) {
    if (count == 0) {
      return;
    }
    void* memory =
        mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    data_ = static_cast<T*>(memory);
    if (pages == Pages::kHuge) {
      WishHugePages();
    }
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() {
    if (data_ != nullptr) {
      munmap(static_cast<void*>(data_), bytes());
    }
  }

  // For memory that is touched from now on; a kernel without huge pages says no.
  void WishHugePages() {
#ifdef MADV_HUGEPAGE
    if (data_ != nullptr) {
      madvise(static_cast<void*>(data_), bytes(), MADV_HUGEPAGE);
    }
#endif
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace tercet
