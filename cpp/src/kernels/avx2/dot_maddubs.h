// Products of bytes with plain AVX2.
//
// VPMADDUBSW multiplies unsigned by signed bytes and adds neighbours into 16 bits. With codes of at
// most 2 and activations between -128 and 127 a pair is between -512 and 508, and 64 of them,
// between -32768 and 32512, can be added in 16 bits before they are widened: nothing saturates or
// wraps around.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace tercet {
namespace {

constexpr size_t kMaxAdditions = 64;
constexpr size_t kMaxTokens = 5;

// The addition is spelled out because GCC 12 otherwise writes it to another register and copies it
// back: a sixth of the loop, where adding and multiplying are all there is.
inline void MultiplyAdd(__m256i& sum, __m256i codes, __m256i four) {
  __asm__("vpaddw %1, %0, %0" : "+x"(sum) : "x"(_mm256_maddubs_epi16(codes, four)));
}

// Adds products of pairs of signed 16 bits to 32-bit lanes.
inline void MultiplyAddPairs(__m256i& sum, __m256i a, __m256i b) {
  __asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(_mm256_madd_epi16(a, b)));
}

inline __m256i Wide(__m256i sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }

}  // namespace
}  // namespace tercet
