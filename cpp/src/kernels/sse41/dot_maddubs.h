// Products of bytes and of halves with SSSE3 and SSE4.1, for the 128-bit products of vector128/.
//
// PMADDUBSW multiplies unsigned by signed bytes and adds neighbours into 16 bits, where 64 pairs of
// codes and activations fit: avx2/dot_maddubs.h counts them.
#pragma once

#include "kernels/lanes_sse41.h"

namespace tercet {
namespace {

using Vector = __m128i;
using Columns = __m128i;
using Sum = __m128i;
using Pairs = __m128i;
using PairSum = __m128i;

constexpr size_t kMaxAdditions = 64;
constexpr size_t kMostSums = 8;
constexpr size_t kMostGroups = 4;
constexpr size_t kMaxTokens = 4;

// A finite float16 number whose bits are shifted to where a float has them is 2^112 times too
// small, and multiplying by that is exact.
inline Floats LoadHalves(const uint8_t* from) {
  const auto widened = [](__m128i word) {
    const __m128i magnitude = _mm_slli_epi32(_mm_and_si128(word, _mm_set1_epi32(0x7fff)), 13);
    const __m128i sign = _mm_slli_epi32(_mm_and_si128(word, _mm_set1_epi32(0x8000)), 16);
    const __m128 scaled = _mm_mul_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(0x1p112f));
    return _mm_or_ps(scaled, _mm_castsi128_ps(sign));
  };
  const __m128i zero = _mm_setzero_si128();
  const __m128i low = LoadVector(from);
  const __m128i high = LoadVector(from + 16);
  return {{widened(_mm_unpacklo_epi16(low, zero)), widened(_mm_unpackhi_epi16(low, zero)),
           widened(_mm_unpacklo_epi16(high, zero)), widened(_mm_unpackhi_epi16(high, zero))}};
}

template <int j>
inline Vector CodesOf(Vector line) {
  return _mm_and_si128(_mm_srli_epi16(line, 2 * j), _mm_set1_epi8(3));
}

inline Columns LoadColumns(const int8_t* from) { return LoadVector(from); }

template <int j>
inline __m128i FourOf(Columns columns) {
  return _mm_shuffle_epi32(columns, 0x55 * j);
}

inline void MultiplyAdd(Sum& sum, Vector codes, __m128i four) {
  sum = _mm_add_epi16(sum, _mm_maddubs_epi16(codes, four));
}

inline void AddPairSum(PairSum sum, int32_t* rows) {
  StoreVector(_mm_add_epi32(LoadVector(rows), sum), rows);
}

inline void AddSum(Sum sum, int32_t* rows) {
  AddPairSum(_mm_madd_epi16(sum, _mm_set1_epi16(1)), rows);
}

template <int j>
inline Vector NibblesOf(Vector plane) {
  return _mm_and_si128(_mm_srli_epi16(plane, 4 * j), _mm_set1_epi16(15));
}

template <int j>
inline Vector WeightsOf(Vector high, Vector low) {
  return _mm_or_si128(_mm_slli_epi16(NibblesOf<j>(high), 4), NibblesOf<j>(low));
}

inline Pairs LoadPairs(const uint8_t* from) { return LoadVector(from); }

template <int j>
inline __m128i PairOf(Pairs pairs) {
  return _mm_shuffle_epi32(pairs, 0x55 * j);
}

inline void MultiplyAddPairs(PairSum& sum, Vector halves, __m128i pair) {
  sum = _mm_add_epi32(sum, _mm_madd_epi16(halves, pair));
}

}  // namespace
}  // namespace tercet
