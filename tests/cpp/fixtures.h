// Inputs for the kernel tests: random numbers from the run's seed, memory aligned as the contract
// asks and no byte longer, and matrices together with the plain arrays they were packed from.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "test.h"

namespace tercet::test {

class Random {
 public:
  explicit Random(uint64_t salt) : engine_(Seed() * 1000003 + salt) {}

  int Integer(int low, int high) { return std::uniform_int_distribution(low, high)(engine_); }
  float Normal() { return std::normal_distribution(0.0f, 1.0f)(engine_); }

  std::vector<float> Normals(size_t n) {
    std::vector<float> x(n);
    for (float& value : x) value = Normal();
    return x;
  }
  std::vector<uint16_t> Bf16(size_t n) {
    std::vector<uint16_t> x(n);
    for (uint16_t& value : x)
      value = static_cast<uint16_t>(std::bit_cast<uint32_t>(Normal()) >> 16);
    return x;
  }
  template <class T>
  void Shuffle(std::vector<T>& x) {
    std::shuffle(x.begin(), x.end(), engine_);
  }

 private:
  std::mt19937_64 engine_;
};

inline float Widened(uint16_t bfloat16) {
  return std::bit_cast<float>(static_cast<uint32_t>(bfloat16) << 16);
}

// `size` values of T at a multiple of kByteAlign; a read past the end is one past the allocation.
template <class T>
class Aligned {
 public:
  explicit Aligned(size_t size, int fill = 0)
      : size_(size), data_(static_cast<T*>(::operator new(size * sizeof(T), kAlign))) {
    std::memset(data_.get(), fill, size * sizeof(T));
  }
  T* get() const { return data_.get(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return data_.get()[i]; }

 private:
  static constexpr std::align_val_t kAlign{kByteAlign};
  struct Delete {
    void operator()(T* data) const { ::operator delete(data, kAlign); }
  };
  size_t size_;
  std::unique_ptr<T, Delete> data_;
};

inline std::string At(std::initializer_list<size_t> where) {
  std::string text;
  for (const size_t value : where) text += (text.empty() ? "" : ", ") + std::to_string(value);
  return text;
}

// Equal as bits, so that -0 is not 0; every NaN counts as the same.
inline void ExpectSameBits(const std::vector<float>& actual, const std::vector<float>& wanted,
                           const std::string& where) {
  EXPECT_EQ_AT(actual.size(), wanted.size(), where);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (actual[i] != actual[i] && wanted[i] != wanted[i]) continue;
    if (std::bit_cast<uint32_t>(actual[i]) == std::bit_cast<uint32_t>(wanted[i])) continue;
    EXPECT_EQ_AT(actual[i], wanted[i], where + ", element " + std::to_string(i));
    return;
  }
}

inline const Kernels& Reference() { return *AllKernels().back(); }

}  // namespace tercet::test
