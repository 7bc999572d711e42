// Packing, at load: groups of rows interleaved so that one vector holds a few columns of them all.
//
// A ternary tile is [line][row][4 bytes], a line being 32 rows × 16 columns at 2 bits: byte i of a
// row holds its codes at columns i, 4 + i, 8 + i and 12 + i of the line, lowest bits first. `(line
// >> 2 j) & 3` is then columns 4 j .. 4 j + 3 of all rows, four consecutive ones to a 32-bit lane,
// as the dot product instructions want them.
//
// Where every `group` columns have scales, a tile is [group]: the float16 scales of its 32 rows, 64
// bytes, and the lines of those columns. What one product needs is then one stream.
//
// Converted models hold their matrices in these tiles (formats/tiles.h), so a change here is a new
// version of that format. Nothing below depends on an instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

namespace tercet {
namespace {

inline size_t TernaryBytes(size_t rows, size_t cols) {
  return RoundUp(rows, kTileRows) * RoundUp(cols, kColumnAlign) / 4;
}

// Columns [begin, begin + 16) of one row; those past the end are zero weights.
inline uint32_t TernaryWord(const uint8_t* row_codes, size_t begin, size_t cols) {
  uint32_t columns[4] = {0x01010101u, 0x01010101u, 0x01010101u, 0x01010101u};
  if (begin < cols) {
    memcpy(columns, row_codes + begin, cols - begin < 16 ? cols - begin : 16);
  }
  return columns[0] | columns[1] << 2 | columns[2] << 4 | columns[3] << 6;
}

inline void TernaryPack(const uint8_t* codes, size_t, size_t cols, size_t tile, uint8_t* packed) {
  const size_t num_lines = RoundUp(cols, kColumnAlign) / 16;
  uint8_t* out = packed + tile * kTileRows * num_lines * 4;
  for (size_t row = 0; row < kTileRows; ++row) {
    for (size_t line = 0; line < num_lines; ++line) {
      const uint32_t word = TernaryWord(codes + row * cols, line * 16, cols);
      memcpy(out + (line * kTileRows + row) * 4, &word, sizeof word);
    }
  }
}

constexpr size_t kGroupScaleBytes = kTileRows * sizeof(uint16_t);

// Writes the scales of a tile's rows for group g.
inline void PackGroupScales(const uint16_t* scales, size_t num_groups, size_t g, uint8_t* out) {
  for (size_t row = 0; row < kTileRows; ++row) {
    memcpy(out + row * sizeof *scales, &scales[row * num_groups + g], sizeof *scales);
  }
}

// Bytes of a group of a tile, its last line filled in part where lines have other numbers of
// columns.
constexpr size_t GroupBytes(size_t group, size_t line_columns = 16) {
  return kGroupScaleBytes + (group + line_columns - 1) / line_columns * kTileRows * 4;
}

inline size_t GroupedTernaryBytes(size_t rows, size_t cols, size_t group) {
  return RoundUp(rows, kTileRows) / kTileRows * NumGroups(cols, group) * GroupBytes(group);
}

inline void GroupedTernaryPack(const uint8_t* codes, const uint16_t* scales, size_t cols,
                               size_t group, size_t tile, uint8_t* packed) {
  const size_t num_groups = NumGroups(cols, group);
  for (size_t g = 0; g < num_groups; ++g) {
    uint8_t* out = packed + (tile * num_groups + g) * GroupBytes(group);
    PackGroupScales(scales, num_groups, g, out);
    for (size_t row = 0; row < kTileRows; ++row) {
      for (size_t line = 0; line < group / 16; ++line) {
        const uint32_t word = TernaryWord(codes + row * cols, g * group + line * 16, cols);
        memcpy(out + kGroupScaleBytes + (line * kTileRows + row) * 4, &word, sizeof word);
      }
    }
  }
}

}  // namespace
}  // namespace tercet
