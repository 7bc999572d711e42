// The weights of a matrix that are on no grid: added to its products one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "activations.h"
#include "formats/ternary_row.h"
#include "tercet/thread_pool.h"

namespace tercet {

class Outliers {
 public:
  // `row` of each is that of the outputs. In any order, once for each part of a matrix.
  void Add(std::vector<Outlier> outliers);

  // All of a matrix [rows, cols], by row, then column. Throws std::invalid_argument if they are not
  // so, or not of such a matrix.
  void Take(std::span<const Outlier> outliers, std::size_t rows, std::size_t cols);
  std::span<const Outlier> all() const { return outliers_; }

  std::size_t count() const { return outliers_.size(); }
  std::size_t bytes() const { return outliers_.size() * sizeof(Outlier); }

  // out[t * stride + row] += sum, where over the row's outliers, by ascending column, and a token's
  // terms, from 0  sum = fma(value, float(x value) * x scale, sum).
  void AddProducts(ThreadPool& pool, const Activations& x, std::size_t num_tokens, std::size_t cols,
                   float* out, std::size_t stride) const;

 private:
  std::vector<Outlier> outliers_;  // by row, then column
};

}  // namespace tercet
