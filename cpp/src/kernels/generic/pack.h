// Packing, at load: groups of rows interleaved so that one vector holds a few columns of them all.
//
// A ternary tile is [line][row][4 bytes], a line being 32 rows × 16 columns at 2 bits: byte i of a
// row holds its codes at columns i, 4 + i, 8 + i and 12 + i of the line, lowest bits first. `(line
// >> 2 j) & 3` is then columns 4 j .. 4 j + 3 of all rows, four consecutive ones to a 32-bit lane,
// as the dot product instructions want them.
#pragma once

#include "kernels/generic/math.h"

namespace tercet {
namespace {

inline size_t TernaryBytes(size_t rows, size_t cols) {
  return RoundUp(rows, kTileRows) * RoundUp(cols, kColumnAlign) / 4;
}

inline void TernaryPack(const uint8_t* codes, size_t, size_t cols, size_t tile, uint8_t* packed) {
  const size_t num_lines = RoundUp(cols, kColumnAlign) / 16;
  uint8_t* out = packed + tile * kTileRows * num_lines * 4;
  for (size_t row = 0; row < kTileRows; ++row) {
    for (size_t line = 0; line < num_lines; ++line) {
      uint32_t columns[4] = {0x01010101u, 0x01010101u, 0x01010101u, 0x01010101u};
      const size_t begin = line * 16;
      if (begin < cols) {
        memcpy(columns, codes + row * cols + begin, cols - begin < 16 ? cols - begin : 16);
      }
      const uint32_t word = columns[0] | columns[1] << 2 | columns[2] << 4 | columns[3] << 6;
      memcpy(out + (line * kTileRows + row) * 4, &word, sizeof word);
    }
  }
}

}  // namespace
}  // namespace tercet
