#include "formats/ternary_row.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "formats/blocks.h"
#include "formats/numbers.h"
#include "formats/trits.h"

namespace tercet {
namespace {

bool IsSame(float a, float b, float tolerance) { return std::fabs(a - b) <= tolerance * b; }

// The magnitude of more than half of the numbers that are not 0, if there is one (Boyer and Moore's
// vote); some magnitude otherwise.
float MajorityMagnitude(std::span<const float> numbers, float tolerance) {
  float majority = 0;
  std::size_t votes = 0;
  for (const float number : numbers) {
    const float magnitude = std::fabs(number);
    if (magnitude == 0) {
      continue;
    }
    if (votes == 0) {
      majority = magnitude;
      votes = 1;
    } else if (IsSame(magnitude, majority, tolerance)) {
      ++votes;
    } else {
      --votes;
    }
  }
  return majority;
}

[[noreturn]] void Refuse(std::size_t row, std::size_t col, const std::string& what) {
  throw std::invalid_argument("row " + std::to_string(row) + ", column " + std::to_string(col) +
                              " " + what);
}

// Codes 3 mean twice the scale in Q2_0 and nothing in the others.
void TakeOutThrees(const TensorSource& source, std::size_t row, const TernaryRow& out,
                   std::vector<Outlier>& outliers) {
  const auto found = std::find(out.codes.begin(), out.codes.end(), kNoWeight);
  if (found == out.codes.end()) {
    return;
  }
  if (source.layout != Layout::kQ2Of64 && source.layout != Layout::kQ2Of128) {
    Refuse(row, static_cast<std::size_t>(found - out.codes.begin()),
           "holds code 3; a ternary weight has codes 0, 1 and 2");
  }
  const std::size_t block = BlockOf(source.layout).values;
  for (std::size_t k = 0; k < source.cols; ++k) {
    if (out.codes[k] == kNoWeight) {
      out.codes[k] = 1;
      outliers.push_back({.row = static_cast<std::uint32_t>(row),
                          .col = static_cast<std::uint32_t>(k),
                          .value = 2 * out.scales[k / block]});
    }
  }
}

}  // namespace

float ToleranceOf(Layout layout) {
  switch (layout) {
    case Layout::kBf16:
      return 0x1p-7F;
    case Layout::kF16:
      return 0x1p-10F;
    default:
      return 0x1p-22F;
  }
}

float FitGroup(std::span<const float> numbers, float tolerance, std::span<std::uint8_t> codes,
               std::vector<Outlier>& outliers, std::uint32_t row, std::uint32_t first_col) {
  const float scale = MajorityMagnitude(numbers, tolerance);
  for (std::size_t k = 0; k < numbers.size(); ++k) {
    const float number = numbers[k];
    if (IsSame(std::fabs(number), scale, tolerance)) {
      codes[k] = number > 0 ? 2 : scale == 0 ? 1 : 0;
      continue;
    }
    codes[k] = 1;
    if (number != 0) {
      if (!std::isfinite(number)) {
        Refuse(row, first_col + k, "holds a number that is not finite");
      }
      outliers.push_back({row, first_col + static_cast<std::uint32_t>(k), number});
    }
  }
  return scale;
}

void ReadTernaryRow(const TensorSource& source, std::size_t row, std::size_t group,
                    const TernaryRow& out, std::vector<Outlier>& outliers) {
  const std::size_t block = HasBlockScales(source.layout) ? BlockOf(source.layout).values : 0;
  if (IsTernary(source.layout) && block == 0) {
    ReadCodes(source, source.RowInFile(row), out.codes.data(), nullptr);
    TakeOutThrees(source, row, out, outliers);
    std::fill(out.scales.begin(), out.scales.end(), 1.0F);
    return;
  }
  if (block != 0 && block == group) {
    ReadCodes(source, source.RowInFile(row), out.codes.data(), out.scales.data());
    for (std::size_t g = 0; g < out.scales.size(); ++g) {
      if (!std::isfinite(out.scales[g])) {
        Refuse(row, g * group, "has a scale that is not finite");
      }
    }
    TakeOutThrees(source, row, out, outliers);
    return;
  }
  std::vector<float> numbers(source.cols);
  TensorSource unscaled = source;
  unscaled.scale = 1;
  ReadNumbers(unscaled, row, numbers.data());
  const std::size_t width = group == 0 ? source.cols : group;
  const float tolerance = ToleranceOf(source.layout);
  for (std::size_t g = 0; g < out.scales.size(); ++g) {
    const std::size_t begin = g * width;
    const std::size_t count = std::min(width, source.cols - begin);
    out.scales[g] = FitGroup(std::span(numbers).subspan(begin, count), tolerance,
                             out.codes.subspan(begin, count), outliers,
                             static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(begin));
  }
}

}  // namespace tercet
