// The lower halves of the head's weights, packed when they are first needed: a draw that the high
// plane decides but for a few rows needs a few rows, so most of this memory is never touched.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "bf16_table.h"
#include "kernels/kernels.h"
#include "tercet/aligned_buffer.h"
#include "tercet/thread_pool.h"

namespace tercet {

class LowPlane {
 public:
  LowPlane(std::size_t rows, std::size_t cols)
      : cols_(cols),
        packed_(rows * HeadRowBytes(cols)),
        is_packed_(std::make_unique<std::atomic<bool>[]>(rows)),
        num_rows_(rows) {}

  // The table is read whenever a row is first asked for, so somebody must keep it alive.
  void SetTable(const Bf16Table& table) { table_ = table; }

  // One row; any number of threads may ask at a time.
  const std::uint8_t* Row(const Kernels& kernels, std::size_t row) {
    if (!is_packed_[row].load(std::memory_order_acquire)) {
      const std::lock_guard lock(packing_);
      Pack(kernels, row);
    }
    return &packed_[row * HeadRowBytes(cols_)];
  }

  // All rows; nobody may ask for one meanwhile.
  const std::uint8_t* All(const Kernels& kernels, ThreadPool& pool) {
    if (!all_packed_) {
      packed_.WishHugePages();
      pool.ForEach(num_rows_, cols_, [&](std::size_t row, std::size_t) { Pack(kernels, row); });
      all_packed_ = true;
    }
    return packed_.data();
  }

  std::size_t bytes() const { return packed_.bytes(); }

 private:
  void Pack(const Kernels& kernels, std::size_t row) {
    if (!is_packed_[row].load(std::memory_order_relaxed)) {
      HeadRow facts;
      kernels.head_pack(table_.row(row), cols_, nullptr, &packed_[row * HeadRowBytes(cols_)],
                        &facts);
      is_packed_[row].store(true, std::memory_order_release);
    }
  }

  std::size_t cols_;
  Bf16Table table_;
  AlignedBuffer<std::uint8_t> packed_;  // [rows][HeadRowBytes(cols)]
  std::unique_ptr<std::atomic<bool>[]> is_packed_;
  std::size_t num_rows_;
  std::mutex packing_;
  bool all_packed_ = false;
};

}  // namespace tercet
