// Weights that products read: memory of our own, or somebody else's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tercet/aligned_buffer.h"
#include "tercet/thread_pool.h"

namespace tercet {

class PackedBytes {
 public:
  PackedBytes() = default;
  explicit PackedBytes(std::size_t count)
      : own_(count, AlignedBuffer<std::uint8_t>::Pages::kHuge), bytes_(own_.data(), own_.size()) {}

  // Fills the own memory with as many bytes.
  void Copy(ThreadPool& pool, std::span<const std::uint8_t> bytes) {
    ForPieces(pool, bytes.size(), [&](std::size_t begin, std::size_t end) {
      std::copy(bytes.data() + begin, bytes.data() + end, own_.data() + begin);
    });
  }

  // Gives up the own memory for `bytes`, which somebody must keep alive and as they are. Every page
  // is touched, so that the first product does not wait for a disk.
  void View(ThreadPool& pool, std::span<const std::uint8_t> bytes) {
    own_ = AlignedBuffer<std::uint8_t>();
    bytes_ = bytes;
    ForPieces(pool, bytes.size(), [&](std::size_t begin, std::size_t end) {
      constexpr std::size_t kPage = 4096;
      for (std::size_t i = begin; i < end; i += kPage) {
        static_cast<void>(*static_cast<const volatile std::uint8_t*>(&bytes[i]));
      }
    });
  }

  std::uint8_t* own() { return own_.data(); }
  const std::uint8_t* data() const { return bytes_.data(); }
  std::size_t bytes() const { return bytes_.size(); }
  std::span<const std::uint8_t> span() const { return bytes_; }

 private:
  // Pieces of the size of a huge page: one thread writes to each.
  template <typename Body>
  static void ForPieces(ThreadPool& pool, std::size_t size, const Body& body) {
    constexpr std::size_t kPiece = std::size_t{2} << 20;
    pool.Run((size + kPiece - 1) / kPiece, [&](std::size_t piece, std::size_t) {
      body(piece * kPiece, std::min(size, (piece + 1) * kPiece));
    });
  }

  AlignedBuffer<std::uint8_t> own_;
  std::span<const std::uint8_t> bytes_;
};

}  // namespace tercet
