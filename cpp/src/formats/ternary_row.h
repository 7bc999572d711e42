// A row of any layout as ternary codes, scales, and the few weights that are on no grid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tercet/tensor_source.h"

namespace tercet {

// A weight whose magnitude is not that of its group: its code says 0, and it is kept as it is.
struct Outlier {
  std::uint32_t row;
  std::uint32_t col;
  float value;
};

struct TernaryRow {
  std::span<std::uint8_t> codes;  // [cols]
  std::span<float> scales;        // [NumGroups(cols, group)], or one for the whole row
};

// Finds the magnitude that most weights of each `group` columns share (0: of the whole row) and
// says which weights have it, within one unit in the last place of the file's numbers. `row` is the
// matrix's; outliers are appended. The source's own scale is left out of both.
// Throws std::invalid_argument, with the place, on a code that means no weight and on a number that
// is not finite.
void ReadTernaryRow(const TensorSource& source, std::size_t row, std::size_t group,
                    const TernaryRow& out, std::vector<Outlier>& outliers);

// The same for numbers[codes.size()] that are one group: returns the magnitude.
float FitGroup(std::span<const float> numbers, float tolerance, std::span<std::uint8_t> codes,
               std::vector<Outlier>& outliers, std::uint32_t row, std::uint32_t first_col);

// How far magnitudes of a layout may differ and still be the same one, relative.
float ToleranceOf(Layout layout);

}  // namespace tercet
