#include "formats/grid.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/numbers.h"
#include "formats/ternary_row.h"

namespace tercet {
namespace {

constexpr std::size_t kRowsAtOnce = 16;

}  // namespace

std::array<std::size_t, kGridGroups.size()> CountOffGrid(const TensorSource& source,
                                                         ThreadPool& pool) {
  source.Check();
  std::array<std::atomic<std::size_t>, kGridGroups.size()> counts{};
  std::atomic<std::size_t> bad_row{std::numeric_limits<std::size_t>::max()};
  const std::size_t num_tasks = (source.rows + kRowsAtOnce - 1) / kRowsAtOnce;
  pool.Run(num_tasks, [&](std::size_t task, std::size_t) {
    std::vector<float> numbers(source.cols);
    std::vector<std::uint8_t> codes(source.cols);
    std::vector<Outlier> outliers;
    const std::size_t end = std::min(source.rows, (task + 1) * kRowsAtOnce);
    for (std::size_t row = task * kRowsAtOnce; row < end; ++row) {
      ReadNumbers(source, row, numbers.data());
      if (!std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); })) {
        bad_row = row;
        return;
      }
      for (std::size_t i = 0; i < kGridGroups.size(); ++i) {
        const std::size_t width = kGridGroups[i] == 0 ? source.cols : kGridGroups[i];
        outliers.clear();
        for (std::size_t begin = 0; begin < source.cols; begin += width) {
          const std::size_t count = std::min(width, source.cols - begin);
          FitGroup(std::span(numbers).subspan(begin, count), ToleranceOf(source.layout),
                   std::span(codes).subspan(begin, count), outliers,
                   static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(begin));
        }
        counts[i] += outliers.size();
      }
    }
  });
  if (bad_row != std::numeric_limits<std::size_t>::max()) {
    throw std::invalid_argument("row " + std::to_string(bad_row) +
                                " holds a number that is not finite");
  }
  std::array<std::size_t, kGridGroups.size()> result{};
  std::copy(counts.begin(), counts.end(), result.begin());
  return result;
}

}  // namespace tercet
