// Ternary weights at 8 bits for five with a scale for every group of columns: the lines of
// five_in_eight.h, a group's last one filled in part.
//
// 128 columns are seven lines and their scales, 1.875 bits a weight where two bits take 2.125; of
// 256 columns it is 1.6875 of 2.0625. Groups of 64 take four lines either way.
#pragma once

#include "kernels/avx512/five_in_eight.h"
#include "kernels/avx512/grouped.h"

namespace tercet {
namespace {

// No group is whole lines: it ends within one, which `Grouped` counts on.
static_assert(kMaxGroup < FiveInEight::kColumns * kColumnAlign / 4);

inline size_t GroupedFiveInEightBytes(size_t rows, size_t cols, size_t group) {
  return RoundUp(rows, kTileRows) / kTileRows * NumGroups(cols, group) *
         GroupBytes(group, FiveInEight::kColumns);
}

inline void GroupedFiveInEightPack(const uint8_t* codes, const uint16_t* scales, size_t cols,
                                   size_t group, size_t tile, uint8_t* packed) {
  const size_t num_groups = NumGroups(cols, group);
  const size_t group_bytes = GroupBytes(group, FiveInEight::kColumns);
  for (size_t g = 0; g < num_groups; ++g) {
    uint8_t* out = packed + (tile * num_groups + g) * group_bytes;
    PackGroupScales(scales, num_groups, g, out);
    out += kGroupScaleBytes;
    const size_t end = (g + 1) * group < cols ? (g + 1) * group : cols;
    for (size_t line = 0; line < FiveInEight::NumLines(group); ++line) {
      FiveInEight::PackLine(codes, cols, g * group + line * FiveInEight::kColumns, end,
                            out + line * kLineBytes);
    }
  }
}

constexpr GroupedPacking kGroupedFiveInEightPacking = {.name = "5in8",
                                                       .bytes = GroupedFiveInEightBytes,
                                                       .pack = GroupedFiveInEightPack,
                                                       .gemm = GroupedGemm<FiveInEight>};

}  // namespace
}  // namespace tercet
