// Ternary weights at 2 bits × int8 activations of a few tokens, for 256-bit sets.
//
// A weight w is stored as the code w + 1 in {0, 1, 2}, the unsigned side of the products, and the
// sum of the activations is taken off:  sum a*w = sum a*(w + 1) - sum a.
//
// A tile is a sequence of lines, a line being four groups of 8 rows × 16 columns (generic/pack.h):
// one load, then three shifts and four masks, give four vectors of codes, which meet the tokens as
// they come.
#pragma once

#include "kernels/avx2/gemm.h"

namespace tercet {
namespace {

// Lines whose products one sum holds, and which are unpacked at a time: four additions a line.
constexpr size_t kLinesAtOnce = 16;
static_assert(4 * kLinesAtOnce <= kMaxAdditions);

// Lines [begin, end), at most kLinesAtOnce, of tokens × groups, added to `sums`.
template <size_t kTokens, size_t kGroups>
inline void AddLines(const uint8_t* lines, const int8_t* values, size_t stride, size_t begin,
                     size_t end, __m256i (&sums)[kTokens][kGroups]) {
  const __m256i mask = _mm256_set1_epi8(3);
  __m256i narrow[kTokens][kGroups];
  SetZero(narrow);
  for (size_t line = begin; line < end; ++line) {
    __m256i packed[kGroups];
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      const uint8_t* from = lines + line * kLineBytes + group * kVectorBytes;
      Prefetch(from);
      packed[group] = LoadVector(from);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      __m256i codes[kGroups];
#pragma GCC unroll 4
      for (size_t group = 0; group < kGroups; ++group) {
        codes[group] = _mm256_and_si256(packed[group], mask);
        packed[group] = _mm256_srli_epi16(packed[group], 2);
      }
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; ++t) {
        const __m256i four = BroadcastFour(values + t * stride + line * 16 + j * 4);
#pragma GCC unroll 4
        for (size_t group = 0; group < kGroups; ++group) {
          MultiplyAdd(narrow[t][group], codes[group], four);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      sums[t][group] = _mm256_add_epi32(sums[t][group], Wide(narrow[t][group]));
    }
  }
}

// Tokens [m, m + kTokens) × rows [n, n + kGroups * kGroupRows).
template <size_t kTokens, size_t kGroups>
inline void MultiplyGroups(const TernaryMatrix& w, const Int8Rows& x, size_t m, size_t n,
                           float* out, size_t out_stride) {
  const size_t num_lines = x.stride / 16;
  const uint8_t* lines =
      w.packed + n / kTileRows * num_lines * kLineBytes + n % kTileRows / kGroupRows * kVectorBytes;
  __m256i sums[kTokens][kGroups];
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      sums[t][group] = _mm256_set1_epi32(-x.sums[m + t]);
    }
  }
  for (size_t line = 0; line < num_lines; line += kLinesAtOnce) {
    const size_t end = num_lines - line < kLinesAtOnce ? num_lines : line + kLinesAtOnce;
    AddLines(lines, x.values + m * x.stride, x.stride, line, end, sums);
  }
  StoreGroups(w, x, m, n, sums, out, out_stride);
}

template <size_t kTokens, size_t kGroups>
void MultiplyTile(const TernaryMatrix& w, const Int8Rows& x, size_t tile, float* out,
                  size_t out_stride) {
  for (size_t n = tile * kTileRows; n < (tile + 1) * kTileRows; n += kGroups * kGroupRows) {
    MultiplyGroups<kTokens, kGroups>(w, x, 0, n, out, out_stride);
  }
}

// For 1, 2, 3 and 4 tokens. Tokens × groups sums, at most 8 of 16 registers.
using MultiplyTileFunction = void (*)(const TernaryMatrix&, const Int8Rows&, size_t, float*,
                                      size_t);
constexpr MultiplyTileFunction kFewTokens[] = {MultiplyTile<1, 4>, MultiplyTile<2, 4>,
                                               MultiplyTile<3, 2>, MultiplyTile<4, 2>};
constexpr size_t kMaxFewTokens = sizeof kFewTokens / sizeof *kFewTokens;

}  // namespace
}  // namespace tercet
