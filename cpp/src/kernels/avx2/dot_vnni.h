// Products of bytes with AVX-VNNI.
//
// VPDPBUSD adds to each 32-bit lane four products of an unsigned by a signed byte, and VPDPWSSD two
// of signed 16 bits: one instruction for two of AVX2, and no sum that must be widened.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace tercet {
namespace {

constexpr size_t kMaxAdditions = SIZE_MAX;
// 12 sums: more than are in flight where two products start per cycle and take five.
constexpr size_t kMaxTokens = 6;

// The empty statements keep GCC 12 from holding a second copy of a sum for after the loop.
inline void MultiplyAdd(__m256i& sum, __m256i codes, __m256i four) {
  sum = _mm256_dpbusd_avx_epi32(sum, codes, four);
  __asm__("" : "+x"(sum));
}

inline void MultiplyAddPairs(__m256i& sum, __m256i a, __m256i b) {
  sum = _mm256_dpwssd_avx_epi32(sum, a, b);
  __asm__("" : "+x"(sum));
}

inline __m256i Wide(__m256i sum) { return sum; }

}  // namespace
}  // namespace tercet
