// Ternary weights at 8 bits for five × int8 activations, for AVX-512 with VNNI and VBMI.
//
// There are 3^5 = 243 ways to draw five codes, t0 ... t4, and a byte has room for them. Which byte
// means what is chosen for VPERMB, which looks up 64 bytes by the lowest six bits of an index:
//
//   usually      byte = 8 * (t0 + 3 t1 + 9 t2) + (t3 + 3 t4 - 1)       0 ... 215, if t3 or t4 != 0
//   otherwise    byte = 216 + 4 * (t0 + 3 t1) + t2                   216 ... 251, if t3 = t4 = 0
//
// The upper six bits tell t0 and t1 in both cases, and t2 in the usual one; the lower six tell the
// rest. One comparison, which says which case it is, one shift and six look-ups give five operands
// of VPDPBUSD: about as many instructions an operand as 2 bits take, for four fifths of the memory.
//
// A line is 64 bytes: 16 rows × 20 columns. Byte i of a row has columns i, 4 + i, 8 + i, 12 + i and
// 16 + i. A tile is [line][group of 16 rows][64 bytes].
#pragma once

#include "kernels/avx512/gemm.h"

namespace tercet {
namespace {

struct FiveInEightTables {
  // By the upper six bits: t0, t1, t2. By the lower six: t2 in the other case, t3, t4.
  alignas(64) uint8_t upper[3][64];
  alignas(64) uint8_t other_t2[64];
  alignas(64) uint8_t lower[2][64];
};

constexpr uint8_t kFiveInEightUsual = 216;

constexpr FiveInEightTables MakeFiveInEightTables() {
  FiveInEightTables tables{};
  for (size_t i = 0; i < 64; ++i) {
    const bool usual = i < kFiveInEightUsual / 4;
    const size_t first = usual ? i / 2 : i - kFiveInEightUsual / 4;
    tables.upper[0][i] = static_cast<uint8_t>(first % 3);
    tables.upper[1][i] = static_cast<uint8_t>(first / 3 % 3);
    tables.upper[2][i] = static_cast<uint8_t>(first / 9 % 3);
    tables.other_t2[i] = static_cast<uint8_t>(i % 4);
    tables.lower[0][i] = static_cast<uint8_t>((i % 8 + 1) % 3);
    tables.lower[1][i] = static_cast<uint8_t>((i % 8 + 1) / 3);
  }
  return tables;
}

constexpr FiveInEightTables kFiveInEightTables = MakeFiveInEightTables();

struct FiveInEight {
  using Matrix = TernaryMatrix;
  using Rows = Int8Rows;

  static constexpr size_t kOperands = 5;
  static constexpr size_t kColumns = 4 * kOperands;

  static size_t Bytes(size_t rows, size_t cols) {
    return RoundUp(rows, kTileRows) / kTileRows * NumLines(cols) * kLineBytes;
  }
  static size_t NumLines(size_t cols) { return (cols + kColumns - 1) / kColumns; }

  static uint8_t Byte(const uint8_t (&t)[5]) {
    return static_cast<uint8_t>(t[3] == 0 && t[4] == 0
                                    ? kFiveInEightUsual + 4 * (t[0] + 3 * t[1]) + t[2]
                                    : 8 * (t[0] + 3 * t[1] + 9 * t[2]) + t[3] + 3 * t[4] - 1);
  }

  // Columns [begin, end), at most a line's, of a tile's codes[kTileRows][cols].
  static void PackLine(const uint8_t* codes, size_t cols, size_t begin, size_t end, uint8_t* line) {
    for (size_t row = 0; row < kTileRows; ++row) {
      for (size_t i = 0; i < 4; ++i) {
        uint8_t t[kOperands] = {};
        for (size_t j = 0; j < kOperands; ++j) {
          const size_t column = begin + j * 4 + i;
          t[j] = column < end ? codes[row * cols + column] : 0;
        }
        line[row * 4 + i] = Byte(t);
      }
    }
  }

  static void Pack(const uint8_t* codes, size_t, size_t cols, size_t tile, uint8_t* packed) {
    const size_t num_lines = NumLines(cols);
    uint8_t* out = packed + tile * num_lines * kLineBytes;
    for (size_t line = 0; line < num_lines; ++line) {
      PackLine(codes, cols, line * kColumns, cols, out + line * kLineBytes);
    }
  }

  // A line on its way to five operands.
  struct Line {
    __m512i bytes;
    __m512i upper;
    __mmask64 usual;
  };
  static Line Begin(__m512i bytes) {
    return {bytes, _mm512_srli_epi16(bytes, 2),
            _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(static_cast<char>(kFiveInEightUsual)))};
  }
  static __m512i Table(const uint8_t (&table)[64]) { return _mm512_load_si512(table); }
  static __m512i Operand(const Line& line, size_t j) {
    if (j < 2) {
      return _mm512_permutexvar_epi8(line.upper, Table(kFiveInEightTables.upper[j]));
    }
    if (j == 2) {
      const __m512i other = _mm512_permutexvar_epi8(line.bytes, Table(kFiveInEightTables.other_t2));
      return _mm512_mask_permutexvar_epi8(other, line.usual, line.upper,
                                          Table(kFiveInEightTables.upper[2]));
    }
    return _mm512_maskz_permutexvar_epi8(line.usual, line.bytes,
                                         Table(kFiveInEightTables.lower[j - 3]));
  }

  template <size_t kTokens, size_t kTiles>
  static void MultiplyTiles(const TernaryMatrix& w, const Int8Rows& x, size_t m,
                            const size_t* tiles, float* out, size_t out_stride) {
    constexpr size_t kVectors = kTiles * kGroups;
    const size_t num_lines = NumLines(w.cols);
    const uint8_t* lines[kVectors];
    __m512i sums[kTokens][kVectors];
#pragma GCC unroll 8
    for (size_t v = 0; v < kVectors; ++v) {
      lines[v] = w.packed + tiles[v / kGroups] * num_lines * kLineBytes + v % kGroups * 64;
#pragma GCC unroll 12
      for (size_t t = 0; t < kTokens; ++t) {
        sums[t][v] = _mm512_set1_epi32(-x.sums[m + t]);
      }
    }
    const int8_t* values = x.values + m * x.stride;
    // Activations end at a multiple of kColumnAlign, perhaps within the last line.
    const size_t num_full = x.stride / kColumns < num_lines ? x.stride / kColumns : num_lines;
    for (size_t line = 0; line < num_full; ++line) {
      AddLine<FiveInEight>(lines, line, kOperands, values + line * kColumns, x.stride, sums);
    }
    if (num_full < num_lines) {
      AddLine<FiveInEight>(lines, num_full, (x.stride - num_full * kColumns) / 4,
                           values + num_full * kColumns, x.stride, sums);
    }
    StoreVectors(w, x, m, tiles, sums, out, out_stride);
  }
};

constexpr TokensFunction<FiveInEight> kFiveInEightTokens[] = {
    MultiplyTokens<FiveInEight, 1, 2>,  MultiplyTokens<FiveInEight, 2, 2>,
    MultiplyTokens<FiveInEight, 3, 2>,  MultiplyTokens<FiveInEight, 4, 2>,
    MultiplyTokens<FiveInEight, 5, 1>,  MultiplyTokens<FiveInEight, 6, 1>,
    MultiplyTokens<FiveInEight, 7, 1>,  MultiplyTokens<FiveInEight, 8, 1>,
    MultiplyTokens<FiveInEight, 9, 1>,  MultiplyTokens<FiveInEight, 10, 1>,
    MultiplyTokens<FiveInEight, 11, 1>,
};

void FiveInEightGemm(const TernaryMatrix* w, const Int8Rows* x, size_t tile_begin, size_t tile_end,
                     float* out, size_t out_stride) {
  Gemm(kFiveInEightTokens, *w, *x, tile_begin, tile_end, out, out_stride);
}

constexpr TernaryPacking kFiveInEightPacking = {.name = "5in8",
                                                .bytes = FiveInEight::Bytes,
                                                .pack = FiveInEight::Pack,
                                                .gemm = FiveInEightGemm};

}  // namespace
}  // namespace tercet
