// The int8 activations that a ternary matrix reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "kernels/kernels.h"
#include "tercet/aligned_buffer.h"
#include "tercet/config.h"

namespace tercet {

// Room for up to `max_tokens` tokens of up to `max_cols` columns, of which one batch of rows of any
// width up to that is held at a time.
//
// A model that defines int8 activations has one scale a token. One that defines none is computed
// with a scale for every group of columns, which keeps an outlier's coarseness to its group. Scales
// and sums are told per group of the products, which may be smaller. Where activations have two
// terms, each token has two rows, and its product is the sum of theirs.
class Activations {
 public:
  Activations(std::size_t max_tokens, std::size_t max_cols, Grid grid)
      : group_(grid.group()),
        activation_group_(grid.activation_group),
        num_terms_(grid.has_two_terms && grid.activation_group != 0 ? 2 : 1),
        values_(max_tokens * num_terms_ * Stride(max_cols)),
        scales_(max_tokens * num_terms_ * GroupsOf(max_cols)),
        sums_(max_tokens * num_terms_ * GroupsOf(max_cols)) {}

  std::size_t num_terms() const { return num_terms_; }

  // Quantises one row of `cols` floats.
  void Quantize(const Kernels& kernels, std::size_t token, const float* x, std::size_t cols) {
    const Row first = RowOf(token * num_terms_, cols);
    if (group_ == 0) {
      kernels.quantize(x, cols, kTokenFloor, first.values, first.scales, first.sums);
      return;
    }
    if (activation_group_ == 0) {
      QuantizeGroup(kernels, x, 0, cols, kTokenFloor, first);
      return;
    }
    for (std::size_t begin = 0; begin < cols; begin += activation_group_) {
      const std::size_t count = std::min(activation_group_, cols - begin);
      const float scale = QuantizeGroup(kernels, x + begin, begin, count, kLeastMagnitude, first);
      if (num_terms_ == 2) {
        float left[kMaxGroup];
        for (std::size_t k = 0; k < count; ++k) {
          left[k] = x[begin + k] - static_cast<float>(first.values[begin + k]) * scale;
        }
        QuantizeGroup(kernels, left, begin, count, kLeastMagnitude,
                      RowOf(token * num_terms_ + 1, cols));
      }
    }
  }

  Int8Rows View(std::size_t num_tokens, std::size_t cols) const {
    return {values_.data(), scales_.data(), sums_.data(), num_tokens, Stride(cols)};
  }
  // Of tokens [begin, begin + num_tokens), num_terms() rows each.
  GroupedRows GroupedView(std::size_t begin, std::size_t num_tokens, std::size_t cols) const {
    const std::size_t row = begin * num_terms_;
    return {values_.data() + row * Stride(cols),
            scales_.data() + row * GroupsOf(cols),
            sums_.data() + row * GroupsOf(cols),
            num_tokens * num_terms_,
            Stride(cols),
            GroupsOf(cols)};
  }
  // Columns from one scale to the next: more than there are where a token has one.
  std::size_t group() const { return group_ == 0 ? SIZE_MAX : group_; }
  std::size_t bytes() const { return values_.bytes() + scales_.bytes() + sums_.bytes(); }

 private:
  // The floor that BitNet b1.58 defines, and one that only keeps the division finite.
  static constexpr float kTokenFloor = 1e-5F;
  static constexpr float kLeastMagnitude = 1e-30F;

  struct Row {
    std::int8_t* values;
    float* scales;
    std::int32_t* sums;
  };

  Row RowOf(std::size_t row, std::size_t cols) {
    return {&values_[row * Stride(cols)], &scales_[row * GroupsOf(cols)],
            &sums_[row * GroupsOf(cols)]};
  }

  // Quantises columns [begin, begin + count), which are whole groups of the products but for the
  // row's end, with one scale, and returns it.
  float QuantizeGroup(const Kernels& kernels, const float* x, std::size_t begin, std::size_t count,
                      float floor, const Row& row) const {
    float scale = 0;
    std::int32_t sum = 0;
    kernels.quantize(x, count, floor, row.values + begin, &scale, &sum);
    std::fill(row.values + begin + RoundUp(count, kColumnAlign),
              row.values + begin + RoundUp(count, group_), std::int8_t{0});
    if (count <= group_) {
      row.scales[begin / group_] = scale;
      row.sums[begin / group_] = sum;
      return scale;
    }
    for (std::size_t first = begin; first < begin + count; first += group_) {
      const std::int8_t* values = row.values + first;
      row.scales[first / group_] = scale;
      row.sums[first / group_] = std::accumulate(values, values + group_, std::int32_t{0});
    }
    return scale;
  }

  std::size_t Stride(std::size_t cols) const {
    return RoundUp(cols, group_ == 0 ? kColumnAlign : group_);
  }
  std::size_t GroupsOf(std::size_t cols) const { return group_ == 0 ? 1 : NumGroups(cols, group_); }

  std::size_t group_;
  std::size_t activation_group_;
  std::size_t num_terms_;
  AlignedBuffer<std::int8_t> values_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> sums_;
};

}  // namespace tercet
