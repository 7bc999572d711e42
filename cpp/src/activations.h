// The int8 activations that a ternary matrix reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "tercet/aligned_buffer.h"
#include "tercet/config.h"

namespace tercet {

// Room for up to `max_tokens` tokens of up to `max_cols` columns, of which one batch of rows of any
// width up to that is held at a time.
//
// A model that defines int8 activations has one scale a token. One that defines none is computed
// with a scale for every group of columns, which keeps an outlier's coarseness to its group. Where
// the matrix has groups, scales and sums are told per group in either case.
class Activations {
 public:
  Activations(std::size_t max_tokens, std::size_t max_cols, Grid grid)
      : group_(grid.group()),
        has_group_scales_(grid.activation_group != 0),
        values_(max_tokens * Stride(max_cols)),
        scales_(max_tokens * GroupsOf(max_cols)),
        sums_(max_tokens * GroupsOf(max_cols)) {}

  // Quantises one row of `cols` floats.
  void Quantize(const Kernels& kernels, std::size_t token, const float* x, std::size_t cols) {
    std::int8_t* values = &values_[token * Stride(cols)];
    const std::size_t num_groups = GroupsOf(cols);
    float* scales = &scales_[token * num_groups];
    std::int32_t* sums = &sums_[token * num_groups];
    if (has_group_scales_) {
      for (std::size_t g = 0; g < num_groups; ++g) {
        const std::size_t begin = g * group_;
        kernels.quantize(x + begin, std::min(group_, cols - begin), kLeastMagnitude, values + begin,
                         scales + g, sums + g);
        std::fill(values + begin + RoundUp(std::min(group_, cols - begin), kColumnAlign),
                  values + begin + group_, std::int8_t{0});
      }
      return;
    }
    kernels.quantize(x, cols, kTokenFloor, values, scales, sums);
    if (group_ != 0) {
      std::fill(values + RoundUp(cols, kColumnAlign), values + Stride(cols), std::int8_t{0});
      std::fill_n(scales, num_groups, scales[0]);
      for (std::size_t g = 0; g < num_groups; ++g) {
        sums[g] = 0;
        for (std::size_t k = 0; k < group_; ++k) {
          sums[g] += values[g * group_ + k];
        }
      }
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

  std::size_t Stride(std::size_t cols) const {
    return RoundUp(cols, group_ == 0 ? kColumnAlign : group_);
  }
  std::size_t GroupsOf(std::size_t cols) const { return group_ == 0 ? 1 : NumGroups(cols, group_); }

  std::size_t group_;
  bool has_group_scales_;
  AlignedBuffer<std::int8_t> values_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> sums_;
};

}  // namespace tercet
