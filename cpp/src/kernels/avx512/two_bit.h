// Ternary weights at 2 bits × int8 activations, for AVX-512 with VNNI.
//
// A weight w in {-1, 0, 1} is stored as the code w + 1, the unsigned side of VPDPBUSD, and the sum
// of the activations is taken off at the end:  sum a*w = sum a*(w + 1) - sum a.
//
// A tile is a sequence of lines, a line being two groups of 16 rows × 16 columns (generic/pack.h):
// one load, then three shifts and four masks, give four operands of VPDPBUSD. The masks are shared
// by up to 11 tokens.
#pragma once

#include "kernels/avx512/gemm.h"
#include "kernels/generic/pack.h"

namespace tercet {
namespace {

struct TwoBit {
  using Matrix = TernaryMatrix;
  using Rows = Int8Rows;

  static constexpr size_t kOperands = 4;
  static constexpr size_t kColumns = 4 * kOperands;

  static size_t NumLines(size_t cols) { return RoundUp(cols, kColumnAlign) / kColumns; }

  using Line = __m512i;
  static Line Begin(__m512i bytes) {
    __asm__("" : "+v"(bytes));  // GCC 12 would load the line again for every operand
    return bytes;
  }
  static __m512i Operand(Line line, size_t j) {
    return _mm512_and_si512(_mm512_srli_epi16(line, static_cast<unsigned>(2 * j)),
                            _mm512_set1_epi8(3));
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
    for (size_t line = 0; line < num_lines; ++line) {
      AddLine<TwoBit>(lines, line, kOperands, values + line * kColumns, x.stride, sums);
    }
    StoreVectors(w, x, m, tiles, sums, out, out_stride);
  }
};

// For 1, 2, 3 ... tokens. Accumulators, at most 22 of 32 registers: two a token and tile. With 24
// of them GCC 12 moves registers about, and two blocks of six tokens are faster than one of 12.
constexpr TokensFunction<TwoBit> kTwoBitTokens[] = {
    MultiplyTokens<TwoBit, 1, 2>,  MultiplyTokens<TwoBit, 2, 2>,  MultiplyTokens<TwoBit, 3, 2>,
    MultiplyTokens<TwoBit, 4, 2>,  MultiplyTokens<TwoBit, 5, 1>,  MultiplyTokens<TwoBit, 6, 1>,
    MultiplyTokens<TwoBit, 7, 1>,  MultiplyTokens<TwoBit, 8, 1>,  MultiplyTokens<TwoBit, 9, 1>,
    MultiplyTokens<TwoBit, 10, 1>, MultiplyTokens<TwoBit, 11, 1>,
};

void TwoBitGemm(const TernaryMatrix* w, const Int8Rows* x, size_t tile_begin, size_t tile_end,
                float* out, size_t out_stride) {
  Gemm(kTwoBitTokens, *w, *x, tile_begin, tile_end, out, out_stride);
}

constexpr TernaryPacking kTwoBitPacking = {.name = "2bit",
                                           .bytes = TernaryBytes,
                                           .pack = TernaryPack,
                                           .gemm = TwoBitGemm,
                                           .is_tiles = true};

}  // namespace
}  // namespace tercet
