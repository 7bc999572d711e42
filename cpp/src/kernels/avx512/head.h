// The head's products for AVX-512 with VNNI.
//
// VPDPBUSD multiplies 64 nibbles of a row, or 64 whole weights w + 128 put together from both
// planes, by the low and by the high bytes of the activations. A row is read from end to end, once
// for two tokens; its lanes are added together at the end.
#pragma once

#include "kernels/avx512/gemm.h"

namespace tercet {
namespace {

inline __m512i LoadHeadLine(const uint8_t* from, size_t ahead) {
  if (ahead != 0) {
    _mm_prefetch(reinterpret_cast<const char*>(from) + ahead, _MM_HINT_T1);
  }
  return _mm512_loadu_si512(from);
}

// Into a register once for all rows, and not once for each as an operand from memory: two loads a
// cycle would be the bound.
inline __m512i LoadValues(const uint8_t* from) {
  __m512i values = _mm512_loadu_si512(from);
  __asm__("" : "+v"(values));
  return values;
}

// sums[t][n] = sum over k of q(t, k) * nibble(n, k) or, with a low plane, * (w(n, k) + 128). Where
// `ahead` is not 0, what lies so many bytes after each line is asked for.
template <bool kBoth, size_t kTokens, size_t kRows>
inline void HeadSums(const uint8_t* high, const uint8_t* low, size_t row_bytes,
                     const uint8_t* values, size_t stride, size_t ahead,
                     int32_t (&sums)[kTokens][kRows]) {
  const __m512i mask = _mm512_set1_epi8(15);
  const size_t plane = stride / 2;
  __m512i lows[kTokens][kRows];
  __m512i highs[kTokens][kRows];
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t n = 0; n < kRows; ++n) {
      lows[t][n] = _mm512_setzero_si512();
      highs[t][n] = _mm512_setzero_si512();
    }
  }
  for (size_t i = 0; i < row_bytes; i += 64) {
    __m512i first[kRows];
    __m512i second[kRows];
#pragma GCC unroll 4
    for (size_t n = 0; n < kRows; ++n) {
      const __m512i h = LoadHeadLine(high + n * row_bytes + i, ahead);
      if constexpr (kBoth) {
        const __m512i l = LoadHeadLine(low + n * row_bytes + i, ahead);
        // 0xCA: of the mask's bits the second, of the others the third.
        first[n] = _mm512_ternarylogic_epi32(mask, l, _mm512_slli_epi16(h, 4), 0xCA);
        second[n] = _mm512_ternarylogic_epi32(mask, _mm512_srli_epi16(l, 4), h, 0xCA);
      } else {
        first[n] = _mm512_and_si512(h, mask);
        second[n] = _mm512_and_si512(_mm512_srli_epi16(h, 4), mask);
      }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
      const uint8_t* q = values + t * stride + 2 * i;
      const __m512i low_first = LoadValues(q);
      const __m512i low_second = LoadValues(q + 64);
      const __m512i high_first = LoadValues(q + plane);
      const __m512i high_second = LoadValues(q + plane + 64);
#pragma GCC unroll 4
      for (size_t n = 0; n < kRows; ++n) {
        lows[t][n] = DotProduct(lows[t][n], first[n], low_first);
        highs[t][n] = DotProduct(highs[t][n], first[n], high_first);
        lows[t][n] = DotProduct(lows[t][n], second[n], low_second);
        highs[t][n] = DotProduct(highs[t][n], second[n], high_second);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t n = 0; n < kRows; ++n) {
      sums[t][n] =
          _mm512_reduce_add_epi32(_mm512_add_epi32(lows[t][n], _mm512_slli_epi32(highs[t][n], 7)));
    }
  }
}

// Tokens at a time, and rows: two accumulators each. More tokens and fewer rows measured slower.
constexpr size_t kHeadTokens = 2;
template <size_t kTokens>
constexpr size_t kHeadRows = 4;

}  // namespace
}  // namespace tercet
