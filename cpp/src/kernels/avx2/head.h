// The head's products for AVX2.
//
// VPMADDUBSW multiplies 32 nibbles of a row by the low or the high bytes of the activations, 0 to
// 127 and -64 to 64, and adds neighbours into 16 bits: 30 times 127 at most, so that eight fit
// before VPMADDWD widens them, times what a nibble of this plane and a byte of that plane weigh.
#pragma once

#include <string.h>

#include "kernels/lanes_avx2.h"

namespace tercet {
namespace {

// Two additions each.
constexpr size_t kHeadLinesUntilWide = 4;

// The empty statement keeps GCC 12 from holding a second copy of a sum for after the loop.
inline __m256i AddPairs(__m256i sum, __m256i nibbles, const uint8_t* values) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
  sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(nibbles, bytes));
  __asm__("" : "+x"(sum));
  return sum;
}

inline int32_t AddLanes(__m256i x) {
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
  return _mm_cvtsi128_si32(sum);
}

// Adds unit * q(t, k) * nibble(n, k) of one plane.
template <size_t kTokens, size_t kRows>
inline void AddPlane(const uint8_t* rows, size_t row_bytes, const uint8_t* values, size_t stride,
                     int16_t unit, size_t ahead, __m256i (&totals)[kTokens][kRows]) {
  const __m256i mask = _mm256_set1_epi8(15);
  const __m256i low_unit = _mm256_set1_epi16(unit);
  const __m256i high_unit = _mm256_set1_epi16(static_cast<int16_t>(128 * unit));
  const size_t plane = stride / 2;
  constexpr size_t kStep = 32 * kHeadLinesUntilWide;
  for (size_t begin = 0; begin < row_bytes; begin += kStep) {
    const size_t end = row_bytes - begin < kStep ? row_bytes : begin + kStep;
    __m256i lows[kTokens][kRows] = {};
    __m256i highs[kTokens][kRows] = {};
    for (size_t i = begin; i < end; i += 32) {
      // Byte i belongs to group i / 64, whose 128 columns begin at 2 * (i - i % 64).
      const uint8_t* q = values + 2 * i - i % 64;
#pragma GCC unroll 4
      for (size_t n = 0; n < kRows; ++n) {
        const uint8_t* from = rows + n * row_bytes + i;
        if (ahead != 0) {
          _mm_prefetch(reinterpret_cast<const char*>(from) + ahead, _MM_HINT_T1);
        }
        const __m256i line = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        const __m256i first = _mm256_and_si256(line, mask);
        const __m256i second = _mm256_and_si256(_mm256_srli_epi16(line, 4), mask);
#pragma GCC unroll 4
        for (size_t t = 0; t < kTokens; ++t) {
          const uint8_t* low = q + t * stride;
          lows[t][n] = AddPairs(lows[t][n], first, low);
          highs[t][n] = AddPairs(highs[t][n], first, low + plane);
          lows[t][n] = AddPairs(lows[t][n], second, low + 64);
          highs[t][n] = AddPairs(highs[t][n], second, low + plane + 64);
        }
      }
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (size_t n = 0; n < kRows; ++n) {
        const __m256i pair = _mm256_add_epi32(_mm256_madd_epi16(lows[t][n], low_unit),
                                              _mm256_madd_epi16(highs[t][n], high_unit));
        totals[t][n] = _mm256_add_epi32(totals[t][n], pair);
      }
    }
  }
}

// sums[t][n] = sum over k of q(t, k) * nibble(n, k) or, with a low plane, * (w(n, k) + 128). Where
// `ahead` is not 0, what lies so many bytes after each line is asked for.
template <bool kBoth, size_t kTokens, size_t kRows>
inline void HeadSums(const uint8_t* high, const uint8_t* low, size_t row_bytes,
                     const uint8_t* values, size_t stride, size_t ahead,
                     int32_t (&sums)[kTokens][kRows]) {
  __m256i totals[kTokens][kRows] = {};
  AddPlane(high, row_bytes, values, stride, kBoth ? 16 : 1, ahead, totals);
  if constexpr (kBoth) {
    AddPlane(low, row_bytes, values, stride, 1, ahead, totals);
  }
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t n = 0; n < kRows; ++n) {
      sums[t][n] = AddLanes(totals[t][n]);
    }
  }
}

// Tokens at a time, and rows: two accumulators each, at most 8 of 16 registers.
constexpr size_t kHeadTokens = 4;
template <size_t kTokens>
constexpr size_t kHeadRows = kTokens == 1   ? 4
                             : kTokens == 2 ? 2
                                            : 1;

}  // namespace
}  // namespace tercet
