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

void RefuseThrees(std::size_t row, std::span<const std::uint8_t> codes) {
  const auto found = std::find(codes.begin(), codes.end(), kNoWeight);
  if (found != codes.end()) {
    Refuse(row, static_cast<std::size_t>(found - codes.begin()),
           "holds code 3; a ternary weight has codes 0, 1 and 2");
  }
}

// The codes and scales of a layout whose blocks are parts of a group. Blocks share a group's scale
// where they have the same one; a block of zeros has any. Returns whether they do in every group,
// and all weights are ternary.
bool ReadBlocks(const TensorSource& source, std::size_t row, std::size_t width,
                const TernaryRow& out) {
  const std::size_t block = BlockOf(source.layout).values;
  std::vector<float> scales(source.cols / block);
  ReadCodes(source, source.RowInFile(row), out.codes.data(), scales.data());
  if (source.layout == Layout::kTq2) {  // in Q2_0 code 3 is twice the scale
    RefuseThrees(row, out.codes);
  }
  if (width % block != 0) {
    return false;
  }
  std::fill(out.scales.begin(), out.scales.end(), 0.0F);
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const std::span codes = out.codes.subspan(i * block, block);
    if (!std::isfinite(scales[i])) {
      Refuse(row, i * block, "has a scale that is not finite");
    }
    if (scales[i] == 0) {
      std::fill(codes.begin(), codes.end(), std::uint8_t{1});
    }
    float& shared = out.scales[i * block / width];
    if (shared == scales[i] ||
        std::all_of(codes.begin(), codes.end(), [](std::uint8_t code) { return code == 1; })) {
      continue;
    }
    if (shared != 0) {
      return false;
    }
    shared = scales[i];
  }
  return std::find(out.codes.begin(), out.codes.end(), kNoWeight) == out.codes.end();
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
    RefuseThrees(row, out.codes);
    std::fill(out.scales.begin(), out.scales.end(), 1.0F);
    return;
  }
  const std::size_t width = group == 0 ? source.cols : group;
  if (block != 0 && ReadBlocks(source, row, width, out)) {
    return;
  }
  // Numbers, and blocks that do not share scales or hold what is no ternary weight.
  std::vector<float> numbers(source.cols);
  TensorSource unscaled = source;
  unscaled.scale = 1;
  ReadNumbers(unscaled, row, numbers.data());
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
