// The 16 lanes of a reduction in one AVX-512 register each.
#pragma once

// GCC 12 takes the header's own "undefined" operands for uninitialised variables (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace tercet {
namespace {

struct Floats {
  __m512 v;
};
struct Words {
  __m512i v;
};
struct Mask {
  __mmask16 v;
};

// A block of so many accumulators leaves registers for its operands.
inline constexpr size_t kBlockRows = 4;
inline constexpr size_t kBlockColumns = 4;

// Which lanes of a step exist: all 16, or the first few at a row's end.
struct All {};
struct First {
  size_t count;
};

inline Mask MaskOf(First part) { return {static_cast<__mmask16>((1u << part.count) - 1u)}; }

// Memory. Lanes that do not exist are loaded as 0 and not stored.
inline Floats Load(const float* from, All = {}) { return {_mm512_loadu_ps(from)}; }
inline Floats Load(const float* from, First part) {
  return {_mm512_maskz_loadu_ps(MaskOf(part).v, from)};
}
inline void Store(Floats x, float* to, All = {}) { _mm512_storeu_ps(to, x.v); }
inline void Store(Floats x, float* to, First part) {
  _mm512_mask_storeu_ps(to, MaskOf(part).v, x.v);
}

inline Floats WidenBf16(__m256i halves) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}
inline Floats LoadBf16(const uint16_t* from, All = {}) {
  return WidenBf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Floats LoadBf16(const uint16_t* from, First part) {
  return WidenBf16(_mm256_maskz_loadu_epi16(MaskOf(part).v, from));
}

// The low half, or quarter, of every word; all 16 are written.
inline void StoreHalves(Words x, uint16_t* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(x.v));
}
inline void StoreBytes(Words x, int8_t* to) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(x.v));
}

// Floats, one IEEE operation each. Max is a > b ? a : b, Min a < b ? a : b.
inline Floats Broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Floats Add(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats Sub(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats Mul(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats Div(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats Fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats Max(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats Min(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats Abs(Floats a) { return {_mm512_abs_ps(a.v)}; }
inline Floats Negate(Floats a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
inline Floats RoundHalfEven(Floats a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Words, modulo 2^32.
inline Words BroadcastWord(uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
inline Words Add(Words a, Words b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Words Sub(Words a, Words b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline Words Xor(Words a, Words b) { return {_mm512_xor_si512(a.v, b.v)}; }
inline Words And(Words a, Words b) { return {_mm512_and_si512(a.v, b.v)}; }
template <int kBits>
inline Words ShiftLeft(Words a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
inline Words ShiftRight(Words a) {
  return {_mm512_srli_epi32(a.v, kBits)};
}
template <int kBits>
inline Words ShiftRightSigned(Words a) {
  return {_mm512_srai_epi32(a.v, kBits)};
}

// Empty statements that keep GCC 12 from holding a second copy of a sum for after the loop.
inline void Pin(Floats& sum) { __asm__("" : "+v"(sum.v)); }
inline void Pin(Words& sum) { __asm__("" : "+v"(sum.v)); }

// Four signed bytes in each lane, widened to 16 bits: bytes 0 and 2, and bytes 1 and 3, as pairs.
struct Quads {
  __m512i even;
  __m512i odd;
};
inline Quads LoadQuads(const int8_t* from) {
  const __m512i bytes = _mm512_loadu_si512(from);
  return {_mm512_srai_epi16(_mm512_slli_epi16(bytes, 8), 8), _mm512_srai_epi16(bytes, 8)};
}

// Four factors of 16 bits, the same for all lanes. In memory each four lie in the order 0, 2, 1, 3.
struct Factors {
  __m512i even;
  __m512i odd;
};
inline Factors LoadFactors(const void* from) {
  int32_t even = 0;
  int32_t odd = 0;
  memcpy(&even, from, sizeof even);
  memcpy(&odd, static_cast<const uint8_t*>(from) + sizeof even, sizeof odd);
  return {_mm512_set1_epi32(even), _mm512_set1_epi32(odd)};
}
inline void StoreFactors(Words x, void* to) {
  const __m256i halves = _mm512_cvtepi32_epi16(x.v);
  const __m256i swapped = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(halves, 0xD8), 0xD8);
  _mm256_storeu_si256(static_cast<__m256i*>(to), swapped);
}

// sum + the four products of each lane.
inline __m512i DotPairs(__m512i a, __m512i b, __m512i sum) {
#ifdef __AVX512VNNI__
  sum = _mm512_dpwssd_epi32(sum, a, b);
#else
  sum = _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
#endif
  __asm__("" : "+v"(sum));
  return sum;
}
inline Words DotQuads(Quads x, Factors f, Words sum) {
  return {DotPairs(x.odd, f.odd, DotPairs(x.even, f.even, sum.v))};
}

struct WidePair {
  Words low;
  Words high;
};
// The 64-bit product of each word with `b`.
inline WidePair MulWide(Words a, uint32_t b) {
  const __m512i factor = _mm512_set1_epi64(b);
  const __m512i even = _mm512_mul_epu32(a.v, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), factor);
  return {{_mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32))},
          {_mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd)}};
}

// Transposes every 4 × 4 square: word j of quarter L of a, b, c, d becomes quarter L of output j.
inline void Transpose4(Words (&x)[4]) {
  const __m512i ab_low = _mm512_unpacklo_epi32(x[0].v, x[1].v);
  const __m512i ab_high = _mm512_unpackhi_epi32(x[0].v, x[1].v);
  const __m512i cd_low = _mm512_unpacklo_epi32(x[2].v, x[3].v);
  const __m512i cd_high = _mm512_unpackhi_epi32(x[2].v, x[3].v);
  x[0] = {_mm512_unpacklo_epi64(ab_low, cd_low)};
  x[1] = {_mm512_unpackhi_epi64(ab_low, cd_low)};
  x[2] = {_mm512_unpacklo_epi64(ab_high, cd_high)};
  x[3] = {_mm512_unpackhi_epi64(ab_high, cd_high)};
}
// 0, 1, ... 15, and the order of counters which makes Transpose4's outputs consecutive.
inline Words LaneNumbers() {
  return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
}
inline Words LaneNumbersTransposed() {
  return {_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)};
}

// Between the two.
inline Words BitsOf(Floats a) { return {_mm512_castps_si512(a.v)}; }
inline Floats FloatsOf(Words a) { return {_mm512_castsi512_ps(a.v)}; }
inline Floats ToFloats(Words a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Words ToWords(Floats integers) { return {_mm512_cvtps_epi32(integers.v)}; }

// Choices.
inline Mask MaskOf(All) { return {0xFFFF}; }
inline Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.v & b.v)}; }
inline Mask Less(Floats a, Floats b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask GreaterEqual(Floats a, Floats b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
inline Mask Equal(Floats a, Floats b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask IsNan(Floats a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
inline Floats Select(Mask m, Floats yes, Floats no) {
  return {_mm512_mask_blend_ps(m.v, no.v, yes.v)};
}
inline Words Select(Mask m, Words yes, Words no) {
  return {_mm512_mask_blend_epi32(m.v, no.v, yes.v)};
}
inline uint32_t Bits(Mask m) { return m.v; }

// Joins the lanes as the contract's tree.
inline float SumOf(Floats x) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
inline float MaxOf(Floats x) {
  const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
  const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
}
// By additions that wrap around, which the compiler's own reduction calls an overflow.
inline int32_t SumOf(Words x) {
  const __m256i half =
      _mm256_add_epi32(_mm512_castsi512_si256(x.v), _mm512_extracti32x8_epi32(x.v, 1));
  const __m128i quarter =
      _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i pair = _mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 0xEE));
  return _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32(pair, 0x55)));
}

}  // namespace
}  // namespace tercet
