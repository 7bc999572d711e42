// The 16 lanes of a reduction in two AVX2 registers each: `low` holds lanes 0-7, `high` 8-15.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace tercet {
namespace {

struct Floats {
  __m256 low;
  __m256 high;
};
struct Words {
  __m256i low;
  __m256i high;
};
struct Mask {
  __m256 low;
  __m256 high;
};

// A block of so many accumulators leaves registers for its operands.
inline constexpr size_t kBlockRows = 4;
inline constexpr size_t kBlockColumns = 1;

// Which lanes of a step exist: all 16, or the first few at a row's end.
struct All {};
struct First {
  size_t count;
};

inline Mask MaskOf(First part) {
  const __m256i count = _mm256_set1_epi32(static_cast<int>(part.count));
  const __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i high = _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15);
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(count, low)),
          _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, high))};
}

// Memory. Lanes that do not exist are loaded as 0 and not stored.
inline Floats Load(const float* from, All = {}) {
  return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}
inline Floats Load(const float* from, First part) {
  const Mask mask = MaskOf(part);
  return {_mm256_maskload_ps(from, _mm256_castps_si256(mask.low)),
          _mm256_maskload_ps(from + 8, _mm256_castps_si256(mask.high))};
}
inline void Store(Floats x, float* to, All = {}) {
  _mm256_storeu_ps(to, x.low);
  _mm256_storeu_ps(to + 8, x.high);
}
inline void Store(Floats x, float* to, First part) {
  const Mask mask = MaskOf(part);
  _mm256_maskstore_ps(to, _mm256_castps_si256(mask.low), x.low);
  _mm256_maskstore_ps(to + 8, _mm256_castps_si256(mask.high), x.high);
}

inline __m256 WidenBf16(const uint16_t* from) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
inline Floats LoadBf16(const uint16_t* from, All = {}) {
  return {WidenBf16(from), WidenBf16(from + 8)};
}
inline Floats LoadBf16(const uint16_t* from, First part) {
  uint16_t padded[16] = {};
  memcpy(padded, from, part.count * sizeof *from);
  return LoadBf16(padded);
}

// The low half, or quarter, of every word; all 16 are written.
inline __m256i PackedHalves(Words x) {
  const __m256i mask = _mm256_set1_epi32(0xFFFF);
  const __m256i mixed =
      _mm256_packus_epi32(_mm256_and_si256(x.low, mask), _mm256_and_si256(x.high, mask));
  return _mm256_permute4x64_epi64(mixed, 0xD8);
}
inline void StoreHalves(Words x, uint16_t* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), PackedHalves(x));
}
inline void StoreBytes(Words x, int8_t* to) {
  const __m256i halves = _mm256_and_si256(PackedHalves(x), _mm256_set1_epi16(0xFF));
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(to),
      _mm_packus_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}

// Floats, one IEEE operation each. Max is a > b ? a : b, Min a < b ? a : b.
inline Floats Broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Floats Add(Floats a, Floats b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline Floats Sub(Floats a, Floats b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline Floats Mul(Floats a, Floats b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline Floats Div(Floats a, Floats b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
inline Floats Fma(Floats a, Floats b, Floats c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Floats Max(Floats a, Floats b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
inline Floats Min(Floats a, Floats b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
inline Floats Abs(Floats a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
inline Floats Negate(Floats a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
}
inline Floats RoundHalfEven(Floats a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, kMode), _mm256_round_ps(a.high, kMode)};
}
inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Words, modulo 2^32.
inline Words BroadcastWord(uint32_t x) {
  const __m256i all = _mm256_set1_epi32(static_cast<int>(x));
  return {all, all};
}
inline Words Add(Words a, Words b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
inline Words Sub(Words a, Words b) {
  return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
inline Words Xor(Words a, Words b) {
  return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}
inline Words And(Words a, Words b) {
  return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
}
template <int kBits>
inline Words ShiftLeft(Words a) {
  return {_mm256_slli_epi32(a.low, kBits), _mm256_slli_epi32(a.high, kBits)};
}
template <int kBits>
inline Words ShiftRight(Words a) {
  return {_mm256_srli_epi32(a.low, kBits), _mm256_srli_epi32(a.high, kBits)};
}
template <int kBits>
inline Words ShiftRightSigned(Words a) {
  return {_mm256_srai_epi32(a.low, kBits), _mm256_srai_epi32(a.high, kBits)};
}

// Empty statements that keep GCC 12 from holding a second copy of a sum for after the loop.
inline void Pin(Floats& sum) { __asm__("" : "+x"(sum.low), "+x"(sum.high)); }
inline void Pin(Words& sum) { __asm__("" : "+x"(sum.low), "+x"(sum.high)); }

// Four signed bytes in each lane, widened to 16 bits: bytes 0 and 2, and bytes 1 and 3, as pairs.
struct Quads {
  Words even;
  Words odd;
};
inline __m256i EvenBytes(__m256i bytes) {
  return _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
}
inline Quads LoadQuads(const int8_t* from) {
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32));
  return {{EvenBytes(low), EvenBytes(high)},
          {_mm256_srai_epi16(low, 8), _mm256_srai_epi16(high, 8)}};
}

// Four factors of 16 bits, the same for all lanes. In memory each four lie in the order 0, 2, 1, 3.
struct Factors {
  __m256i even;
  __m256i odd;
};
inline Factors LoadFactors(const void* from) {
  int32_t even = 0;
  int32_t odd = 0;
  memcpy(&even, from, sizeof even);
  memcpy(&odd, static_cast<const uint8_t*>(from) + sizeof even, sizeof odd);
  return {_mm256_set1_epi32(even), _mm256_set1_epi32(odd)};
}
inline void StoreFactors(Words x, void* to) {
  const __m256i halves = PackedHalves(x);
  const __m256i swapped = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(halves, 0xD8), 0xD8);
  _mm256_storeu_si256(static_cast<__m256i*>(to), swapped);
}

// sum + the four products of each lane.
inline __m256i DotPairs(__m256i a, __m256i b, __m256i sum) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}
inline Words DotQuads(Quads x, Factors f, Words sum) {
  return {DotPairs(x.odd.low, f.odd, DotPairs(x.even.low, f.even, sum.low)),
          DotPairs(x.odd.high, f.odd, DotPairs(x.even.high, f.even, sum.high))};
}

struct WidePair {
  Words low;
  Words high;
};
inline void MulWideHalf(__m256i a, __m256i factor, __m256i& low, __m256i& high) {
  const __m256i even = _mm256_mul_epu32(a, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
  low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}
// The 64-bit product of each word with `b`.
inline WidePair MulWide(Words a, uint32_t b) {
  const __m256i factor = _mm256_set1_epi64x(b);
  WidePair product{};
  MulWideHalf(a.low, factor, product.low.low, product.high.low);
  MulWideHalf(a.high, factor, product.low.high, product.high.high);
  return product;
}

inline void Transpose4(__m256i& a, __m256i& b, __m256i& c, __m256i& d) {
  const __m256i ab_low = _mm256_unpacklo_epi32(a, b);
  const __m256i ab_high = _mm256_unpackhi_epi32(a, b);
  const __m256i cd_low = _mm256_unpacklo_epi32(c, d);
  const __m256i cd_high = _mm256_unpackhi_epi32(c, d);
  a = _mm256_unpacklo_epi64(ab_low, cd_low);
  b = _mm256_unpackhi_epi64(ab_low, cd_low);
  c = _mm256_unpacklo_epi64(ab_high, cd_high);
  d = _mm256_unpackhi_epi64(ab_high, cd_high);
}
// Transposes every 4 × 4 square: word j of quarter L of a, b, c, d becomes quarter L of output j.
inline void Transpose4(Words (&x)[4]) {
  Transpose4(x[0].low, x[1].low, x[2].low, x[3].low);
  Transpose4(x[0].high, x[1].high, x[2].high, x[3].high);
}
// 0, 1, ... 15, and the order of counters which makes Transpose4's outputs consecutive.
inline Words LaneNumbers() {
  return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
          _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
}
inline Words LaneNumbersTransposed() {
  return {_mm256_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13),
          _mm256_setr_epi32(2, 6, 10, 14, 3, 7, 11, 15)};
}

// Between the two.
inline Words BitsOf(Floats a) { return {_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)}; }
inline Floats FloatsOf(Words a) {
  return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)};
}
inline Floats ToFloats(Words a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
inline Words ToWords(Floats integers) {
  return {_mm256_cvtps_epi32(integers.low), _mm256_cvtps_epi32(integers.high)};
}

// Choices.
inline Mask MaskOf(All) {
  const __m256 all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  return {all, all};
}
inline Mask operator&(Mask a, Mask b) {
  return {_mm256_and_ps(a.low, b.low), _mm256_and_ps(a.high, b.high)};
}
template <int kPredicate>
inline Mask Compare(Floats a, Floats b) {
  return {_mm256_cmp_ps(a.low, b.low, kPredicate), _mm256_cmp_ps(a.high, b.high, kPredicate)};
}
inline Mask Less(Floats a, Floats b) { return Compare<_CMP_LT_OQ>(a, b); }
inline Mask GreaterEqual(Floats a, Floats b) { return Compare<_CMP_GE_OQ>(a, b); }
inline Mask Equal(Floats a, Floats b) { return Compare<_CMP_EQ_OQ>(a, b); }
inline Mask IsNan(Floats a) { return Compare<_CMP_UNORD_Q>(a, a); }
inline Floats Select(Mask m, Floats yes, Floats no) {
  return {_mm256_blendv_ps(no.low, yes.low, m.low), _mm256_blendv_ps(no.high, yes.high, m.high)};
}
inline Words Select(Mask m, Words yes, Words no) {
  return BitsOf(Select(m, FloatsOf(yes), FloatsOf(no)));
}
inline uint32_t Bits(Mask m) {
  return static_cast<uint32_t>(_mm256_movemask_ps(m.low)) |
         static_cast<uint32_t>(_mm256_movemask_ps(m.high)) << 8;
}

// Joins the lanes as the contract's tree.
inline float SumOf(Floats x) {
  const __m256 half = _mm256_add_ps(x.low, x.high);
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
inline float MaxOf(Floats x) {
  const __m256 half = _mm256_max_ps(x.low, x.high);
  const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
}
inline int32_t SumOf(Words x) {
  const __m256i half = _mm256_add_epi32(x.low, x.high);
  const __m128i quarter =
      _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i pair = _mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 0xEE));
  return _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32(pair, 0x55)));
}

}  // namespace
}  // namespace tercet
