// Weights that products read: memory of our own, or somebody else's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tercet/aligned_buffer.h"

namespace tercet {

class PackedBytes {
 public:
  PackedBytes() = default;
  explicit PackedBytes(std::size_t count)
      : own_(count, AlignedBuffer<std::uint8_t>::Pages::kHuge), bytes_(own_.data(), own_.size()) {}

  // Gives up the own memory for `bytes`, which somebody must keep alive and as they are.
  void View(std::span<const std::uint8_t> bytes) {
    own_ = AlignedBuffer<std::uint8_t>();
    bytes_ = bytes;
  }

  std::uint8_t* own() { return own_.data(); }
  const std::uint8_t* data() const { return bytes_.data(); }
  std::size_t bytes() const { return bytes_.size(); }
  std::span<const std::uint8_t> span() const { return bytes_; }

 private:
  AlignedBuffer<std::uint8_t> own_;
  std::span<const std::uint8_t> bytes_;
};

}  // namespace tercet
