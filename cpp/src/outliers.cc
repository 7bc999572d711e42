#include "outliers.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace tercet {

void Outliers::Add(std::vector<Outlier> outliers) {
  outliers_.insert(outliers_.end(), outliers.begin(), outliers.end());
  std::sort(outliers_.begin(), outliers_.end(), [](const Outlier& a, const Outlier& b) {
    return std::tie(a.row, a.col) < std::tie(b.row, b.col);
  });
}

void Outliers::AddProducts(ThreadPool& pool, const GroupedRows& x, std::size_t group, float* out,
                           std::size_t stride) const {
  if (outliers_.empty()) {
    return;
  }
  pool.ForEach(x.num_rows, outliers_.size(), [&](std::size_t t, std::size_t) {
    const std::int8_t* values = x.values + t * x.stride;
    const float* scales = x.scales + t * x.num_groups;
    for (auto it = outliers_.begin(); it != outliers_.end();) {
      const std::uint32_t row = it->row;
      float sum = 0;
      for (; it != outliers_.end() && it->row == row; ++it) {
        const float value = static_cast<float>(values[it->col]) * scales[it->col / group];
        sum = std::fma(it->value, value, sum);
      }
      out[t * stride + row] += sum;
    }
  });
}

}  // namespace tercet
