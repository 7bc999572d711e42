// A ternary matrix in packed form, made of one or more of the checkpoint's matrices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "tercet/aligned_buffer.h"
#include "tercet/thread_pool.h"

namespace tercet {

// The int8 activations that a Linear reads: room for up to `max_tokens` tokens of up to `max_cols`
// columns, of which one batch of rows of any width up to that is held at a time.
class Activations {
 public:
  Activations(std::size_t max_tokens, std::size_t max_cols)
      : values_(max_tokens * RoundUp(max_cols, kColumnAlign)),
        scales_(max_tokens),
        sums_(max_tokens) {}

  // Quantises one row of `cols` floats (BitNet b1.58's absmax rule, per token).
  void Quantize(const Kernels& kernels, std::size_t token, const float* x, std::size_t cols) {
    kernels.quantize(x, cols, &values_[token * RoundUp(cols, kColumnAlign)], &scales_[token],
                     &sums_[token]);
  }
  Int8Rows View(std::size_t num_tokens, std::size_t cols) const {
    return {values_.data(), scales_.data(), sums_.data(), num_tokens, RoundUp(cols, kColumnAlign)};
  }
  std::size_t bytes() const { return values_.bytes() + scales_.bytes() + sums_.bytes(); }

 private:
  AlignedBuffer<std::int8_t> values_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> sums_;
};

// out[t * w.rows + n] for every token t and row n: the product over all threads.
void Multiply(ThreadPool& pool, const TernaryPacking& packing, const TernaryMatrix& w,
              const Int8Rows& x, float* out);

// out = x W^T for several weight matrices W that share their input, stacked so that one pass over
// the threads computes all of them. Each part begins at a tile; the rows between parts are zero
// weights.
class Linear {
 public:
  Linear(const TernaryPacking& packing, std::span<const std::size_t> part_rows, std::size_t cols);

  const TernaryPacking& packing() const { return *packing_; }
  std::size_t cols() const { return cols_; }
  std::size_t part_rows(std::size_t part) const { return parts_[part].rows; }
  // Where a part's outputs begin in a row of outputs, and how far rows of outputs lie apart.
  std::size_t part_offset(std::size_t part) const { return parts_[part].offset; }
  std::size_t out_stride() const { return rows_; }
  std::size_t bytes() const { return packed_.bytes() + row_scales_.bytes(); }

  // Packs one part. `codes`: [rows / 4][cols] bytes; bits 2i..2i+1 of codes[r][c] are the weight of
  // row r + i * rows / 4, plus one. Throws std::invalid_argument with the place of the first
  // code 3.
  void Pack(ThreadPool& pool, std::size_t part, const std::uint8_t* codes, float scale);

  // out[t * out_stride() + row] for the first `num_tokens` rows of `x`, quantised from cols()
  // columns.
  void Multiply(ThreadPool& pool, const Activations& x, std::size_t num_tokens, float* out) const;

 private:
  struct Part {
    std::size_t offset;
    std::size_t rows;
  };

  const TernaryPacking* packing_;
  std::size_t cols_;
  std::size_t rows_ = 0;  // of all parts, each rounded up to whole tiles
  std::vector<Part> parts_;
  AlignedBuffer<std::uint8_t> packed_;
  AlignedBuffer<float> row_scales_;
};

}  // namespace tercet
