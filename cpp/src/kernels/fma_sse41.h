// The fused multiply-add of the contract on CPUs that have none.
//
// The product of two floats is exact in a double, so only adding `c` to it rounds, and then making
// it a float rounds again. Rounding twice is rounding once if the first time is to odd (Boldo and
// Melquiond, 2008): an inexact sum whose last bit is even becomes its neighbour on the exact sum's
// side, which no float lies halfway to. The side is the sign of what the addition lost, an exact
// double itself (Knuth's TwoSum).
//
// Rounding twice goes wrong only where the double lies halfway between two floats, which is seldom:
// so the sums are looked at, and rounded to odd only if one of them might.
#pragma once

#include <smmintrin.h>

namespace tercet {
namespace {

// Four lanes as doubles.
struct Doubles {
  __m128d low;
  __m128d high;
};

inline Doubles Widened(__m128 x) { return {_mm_cvtps_pd(x), _mm_cvtps_pd(_mm_movehl_ps(x, x))}; }

inline __m128 Narrowed(Doubles x) {
  return _mm_movelh_ps(_mm_cvtpd_ps(x.low), _mm_cvtpd_ps(x.high));
}

inline Doubles Product(__m128 a, __m128 b) {
  const Doubles x = Widened(a);
  const Doubles y = Widened(b);
  return {_mm_mul_pd(x.low, y.low), _mm_mul_pd(x.high, y.high)};
}

// p + c rounded to odd. No double here is so small or large that anything under- or overflows;
// infinities and NaN lose nothing that compares as above or below 0, and stay.
inline __m128d AddToOdd(__m128d p, __m128d c) {
  const __m128d sum = _mm_add_pd(p, c);
  const __m128d added = _mm_sub_pd(sum, p);
  const __m128d lost = _mm_add_pd(_mm_sub_pd(p, _mm_sub_pd(sum, added)), _mm_sub_pd(c, added));
  const __m128d outwards = _mm_mul_pd(sum, lost);
  const __m128i more = _mm_castpd_si128(_mm_cmpgt_pd(outwards, _mm_setzero_pd()));
  const __m128i less = _mm_castpd_si128(_mm_cmplt_pd(outwards, _mm_setzero_pd()));
  const __m128i bits = _mm_castpd_si128(sum);
  const __m128i one = _mm_set1_epi64x(1);
  const __m128i if_even = _mm_sub_epi64(_mm_and_si128(bits, one), one);
  const __m128i step = _mm_and_si128(_mm_sub_epi64(less, more), if_even);
  return _mm_castsi128_pd(_mm_add_epi64(bits, step));
}

inline __m128 FmaToOdd(__m128 a, __m128 b, __m128 c) {
  const Doubles p = Product(a, b);
  const Doubles addend = Widened(c);
  return Narrowed({AddToOdd(p.low, addend.low), AddToOdd(p.high, addend.high)});
}

// The four sums as floats, rounded twice. Lanes of `doubtful` are set where that may be wrong: the
// 29 bits that a float has not are exactly half, or the float has even fewer bits, being among the
// smallest. Where c is 0 nothing was rounded before.
inline __m128 FmaIfSure(__m128 a, __m128 b, __m128 c, __m128i& doubtful) {
  const Doubles p = Product(a, b);
  const Doubles addend = Widened(c);
  const Doubles sum = {_mm_add_pd(p.low, addend.low), _mm_add_pd(p.high, addend.high)};
  const __m128i low_words = _mm_castps_si128(
      _mm_shuffle_ps(_mm_castpd_ps(sum.low), _mm_castpd_ps(sum.high), _MM_SHUFFLE(2, 0, 2, 0)));
  const __m128i half = _mm_set1_epi32(INT32_MIN);
  const __m128 result = Narrowed(sum);
  const __m128 magnitude = _mm_andnot_ps(_mm_set1_ps(-0.0f), result);
  const __m128 is_small = _mm_and_ps(_mm_cmple_ps(magnitude, _mm_set1_ps(0x1p-126f)),
                                     _mm_cmpneq_ps(c, _mm_setzero_ps()));
  doubtful = _mm_or_si128(doubtful, _mm_cmpeq_epi32(_mm_slli_epi32(low_words, 3), half));
  doubtful = _mm_or_si128(doubtful, _mm_castps_si128(is_small));
  return result;
}

}  // namespace
}  // namespace tercet
