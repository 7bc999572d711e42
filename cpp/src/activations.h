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
// and sums are told per group of the products, which may be smaller.
class Activations {
 public:
  Activations(std::size_t max_tokens, std::size_t max_cols, Grid grid)
      : group_(grid.group()),
        activation_group_(grid.activation_group),
        values_(max_tokens * Stride(max_cols)),
        scales_(max_tokens * GroupsOf(max_cols)),
        sums_(max_tokens * GroupsOf(max_cols)) {}

  // Quantises one row of `cols` floats.
  void Quantize(const Kernels& kernels, std::size_t token, const float* x, std::size_t cols) {
    std::int8_t* values = &values_[token * Stride(cols)];
    float* scales = &scales_[token * GroupsOf(cols)];
    std::int32_t* sums = &sums_[token * GroupsOf(cols)];
    if (group_ == 0) {
      kernels.quantize(x, cols, kTokenFloor, values, scales, sums);
      return;
    }
    std::fill(values + RoundUp(cols, kColumnAlign), values + Stride(cols), std::int8_t{0});
    const std::size_t width = activation_group_ == 0 ? cols : activation_group_;
    const float floor = activation_group_ == 0 ? kTokenFloor : kLeastMagnitude;
    for (std::size_t begin = 0; begin < cols; begin += width) {
      float scale = 0;
      std::int32_t sum = 0;
      const std::size_t count = std::min(width, cols - begin);
      kernels.quantize(x + begin, count, floor, values + begin, &scale, &sum);
      TellGroups(values, begin, count, scale, sum, scales, sums);
    }
  }

  Int8Rows View(std::size_t num_tokens, std::size_t cols) const {
    return {values_.data(), scales_.data(), sums_.data(), num_tokens, Stride(cols)};
  }
  GroupedRows GroupedView(std::size_t num_tokens, std::size_t cols) const {
    return {values_.data(), scales_.data(), sums_.data(), num_tokens, Stride(cols), GroupsOf(cols)};
  }
  // Columns from one scale to the next: more than there are where a token has one.
  std::size_t group() const { return group_ == 0 ? SIZE_MAX : group_; }
  std::size_t bytes() const { return values_.bytes() + scales_.bytes() + sums_.bytes(); }

 private:
  // The floor that BitNet b1.58 defines, and one that only keeps the division finite.
  static constexpr float kTokenFloor = 1e-5F;
  static constexpr float kLeastMagnitude = 1e-30F;

  // Columns [begin, begin + count) have been quantised with one scale; they are whole groups of the
  // products, but for the row's end.
  void TellGroups(const std::int8_t* values, std::size_t begin, std::size_t count, float scale,
                  std::int32_t sum, float* scales, std::int32_t* sums) const {
    if (count <= group_) {
      scales[begin / group_] = scale;
      sums[begin / group_] = sum;
      return;
    }
    for (std::size_t first = begin; first < begin + count; first += group_) {
      scales[first / group_] = scale;
      sums[first / group_] = std::accumulate(
          values + first, values + std::min(first + group_, begin + count), std::int32_t{0});
    }
  }

  std::size_t Stride(std::size_t cols) const {
    return RoundUp(cols, group_ == 0 ? kColumnAlign : group_);
  }
  std::size_t GroupsOf(std::size_t cols) const { return group_ == 0 ? 1 : NumGroups(cols, group_); }

  std::size_t group_;
  std::size_t activation_group_;
  AlignedBuffer<std::int8_t> values_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> sums_;
};

}  // namespace tercet
