#include "outliers.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <tuple>

namespace tercet {
namespace {

bool IsBefore(const Outlier& a, const Outlier& b) {
  return std::tie(a.row, a.col) < std::tie(b.row, b.col);
}

}  // namespace

void Outliers::Add(std::vector<Outlier> outliers) {
  outliers_.insert(outliers_.end(), outliers.begin(), outliers.end());
  std::sort(outliers_.begin(), outliers_.end(), IsBefore);
}

void Outliers::Take(std::span<const Outlier> outliers, std::size_t rows, std::size_t cols) {
  for (std::size_t i = 0; i < outliers.size(); ++i) {
    const Outlier& one = outliers[i];
    if (one.row >= rows || one.col >= cols || !std::isfinite(one.value)) {
      throw std::invalid_argument("outlier " + std::to_string(i) + " is not in the matrix");
    }
    if (i > 0 && !IsBefore(outliers[i - 1], one)) {
      throw std::invalid_argument("outlier " + std::to_string(i) + " is out of order");
    }
  }
  outliers_.assign(outliers.begin(), outliers.end());
}

void Outliers::AddProducts(ThreadPool& pool, const Activations& x, std::size_t num_tokens,
                           std::size_t cols, float* out, std::size_t stride) const {
  if (outliers_.empty()) {
    return;
  }
  const std::size_t num_terms = x.num_terms();
  const GroupedRows rows = x.GroupedView(0, num_tokens, cols);
  pool.ForEach(num_tokens, outliers_.size() * num_terms, [&](std::size_t token, std::size_t) {
    for (auto it = outliers_.begin(); it != outliers_.end();) {
      const std::uint32_t row = it->row;
      float sum = 0;
      for (; it != outliers_.end() && it->row == row; ++it) {
        for (std::size_t m = token * num_terms; m < (token + 1) * num_terms; ++m) {
          const float scale = rows.scales[m * rows.num_groups + it->col / x.group()];
          const float value = static_cast<float>(rows.values[m * rows.stride + it->col]) * scale;
          sum = std::fma(it->value, value, sum);
        }
      }
      out[token * stride + row] += sum;
    }
  });
}

}  // namespace tercet
