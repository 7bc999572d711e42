// The 16 lanes of a reduction in four SSE registers: `of[i]` holds lanes 4 i to 4 i + 3.
#pragma once

#include <smmintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/fma_sse41.h"

namespace tercet {
namespace {

struct Floats {
  __m128 of[4];
};
struct Words {
  __m128i of[4];
};
struct Mask {
  __m128 of[4];
};

// What is true of 16 registers and lanes of four each.
inline constexpr size_t kBlockRows = 2;
inline constexpr size_t kBlockColumns = 1;

// op(x, y...) of each four lanes of the operands.
template <class To, class Op, class... From>
inline To Each(Op op, const From&... x) {
  return {{op(x.of[0]...), op(x.of[1]...), op(x.of[2]...), op(x.of[3]...)}};
}

// Which lanes of a step exist: all 16, or the first few at a row's end.
struct All {};
struct First {
  size_t count;
};

inline Words LaneNumbers() {
  return {{_mm_setr_epi32(0, 1, 2, 3), _mm_setr_epi32(4, 5, 6, 7), _mm_setr_epi32(8, 9, 10, 11),
           _mm_setr_epi32(12, 13, 14, 15)}};
}
inline Mask MaskOf(All) {
  const __m128 all = _mm_castsi128_ps(_mm_set1_epi32(-1));
  return {{all, all, all, all}};
}
inline Mask MaskOf(First part) {
  const __m128i count = _mm_set1_epi32(static_cast<int>(part.count));
  return Each<Mask>([&](__m128i lane) { return _mm_castsi128_ps(_mm_cmpgt_epi32(count, lane)); },
                    LaneNumbers());
}

// Memory. Lanes that do not exist are loaded as 0 and not stored.
inline Floats Load(const float* from, All = {}) {
  return {{_mm_loadu_ps(from), _mm_loadu_ps(from + 4), _mm_loadu_ps(from + 8),
           _mm_loadu_ps(from + 12)}};
}
inline Floats Load(const float* from, First part) {
  float padded[16] = {};
  memcpy(padded, from, part.count * sizeof *from);
  return Load(padded);
}
inline void Store(Floats x, float* to, All = {}) {
  for (size_t i = 0; i < 4; ++i) {
    _mm_storeu_ps(to + 4 * i, x.of[i]);
  }
}
inline void Store(Floats x, float* to, First part) {
  float padded[16];
  Store(x, padded);
  memcpy(to, padded, part.count * sizeof *to);
}

inline __m128i LoadVector(const void* from) {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}
inline Floats LoadBf16(const uint16_t* from, All = {}) {
  const __m128i zero = _mm_setzero_si128();
  const __m128i low = LoadVector(from);
  const __m128i high = LoadVector(from + 8);
  return {{_mm_castsi128_ps(_mm_unpacklo_epi16(zero, low)),
           _mm_castsi128_ps(_mm_unpackhi_epi16(zero, low)),
           _mm_castsi128_ps(_mm_unpacklo_epi16(zero, high)),
           _mm_castsi128_ps(_mm_unpackhi_epi16(zero, high))}};
}
inline Floats LoadBf16(const uint16_t* from, First part) {
  uint16_t padded[16] = {};
  memcpy(padded, from, part.count * sizeof *from);
  return LoadBf16(padded);
}

// The low half, or quarter, of every word; all 16 are written.
struct Halves {
  __m128i low;
  __m128i high;
};
inline Halves PackedHalves(Words x) {
  const __m128i mask = _mm_set1_epi32(0xFFFF);
  const auto half = [&](size_t i) { return _mm_and_si128(x.of[i], mask); };
  return {_mm_packus_epi32(half(0), half(1)), _mm_packus_epi32(half(2), half(3))};
}
inline void StoreVector(__m128i x, void* to) { _mm_storeu_si128(static_cast<__m128i*>(to), x); }
inline void StoreHalves(Words x, uint16_t* to) {
  const Halves halves = PackedHalves(x);
  StoreVector(halves.low, to);
  StoreVector(halves.high, to + 8);
}
inline void StoreBytes(Words x, int8_t* to) {
  const Halves halves = PackedHalves(x);
  const __m128i mask = _mm_set1_epi16(0xFF);
  StoreVector(_mm_packus_epi16(_mm_and_si128(halves.low, mask), _mm_and_si128(halves.high, mask)),
              to);
}

// Floats, one IEEE operation each. Max is a > b ? a : b, Min a < b ? a : b.
inline Floats Broadcast(float x) {
  const __m128 all = _mm_set1_ps(x);
  return {{all, all, all, all}};
}
inline Floats Add(Floats a, Floats b) {
  return Each<Floats>([](__m128 x, __m128 y) { return _mm_add_ps(x, y); }, a, b);
}
inline Floats Sub(Floats a, Floats b) {
  return Each<Floats>([](__m128 x, __m128 y) { return _mm_sub_ps(x, y); }, a, b);
}
inline Floats Mul(Floats a, Floats b) {
  return Each<Floats>([](__m128 x, __m128 y) { return _mm_mul_ps(x, y); }, a, b);
}
inline Floats Div(Floats a, Floats b) {
  return Each<Floats>([](__m128 x, __m128 y) { return _mm_div_ps(x, y); }, a, b);
}
inline Floats Max(Floats a, Floats b) {
  return Each<Floats>([](__m128 x, __m128 y) { return _mm_max_ps(x, y); }, a, b);
}
inline Floats Min(Floats a, Floats b) {
  return Each<Floats>([](__m128 x, __m128 y) { return _mm_min_ps(x, y); }, a, b);
}
inline Floats Abs(Floats a) {
  return Each<Floats>([](__m128 x) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), x); }, a);
}
inline Floats Negate(Floats a) {
  return Each<Floats>([](__m128 x) { return _mm_xor_ps(x, _mm_set1_ps(-0.0f)); }, a);
}
inline Floats RoundHalfEven(Floats a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return Each<Floats>([](__m128 x) { return _mm_round_ps(x, kMode); }, a);
}
inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

[[gnu::noinline, gnu::cold]] Floats DoubtfulFma(const Floats& a, const Floats& b, const Floats& c) {
  return Each<Floats>(FmaToOdd, a, b, c);
}
inline Floats Fma(Floats a, Floats b, Floats c) {
  __m128i doubtful = _mm_setzero_si128();
  const auto result = Each<Floats>(
      [&](__m128 x, __m128 y, __m128 z) { return FmaIfSure(x, y, z, doubtful); }, a, b, c);
  return _mm_movemask_epi8(doubtful) == 0 ? result : DoubtfulFma(a, b, c);
}

// Words, modulo 2^32.
inline Words BroadcastWord(uint32_t x) {
  const __m128i all = _mm_set1_epi32(static_cast<int>(x));
  return {{all, all, all, all}};
}
inline Words Add(Words a, Words b) {
  return Each<Words>([](__m128i x, __m128i y) { return _mm_add_epi32(x, y); }, a, b);
}
inline Words Sub(Words a, Words b) {
  return Each<Words>([](__m128i x, __m128i y) { return _mm_sub_epi32(x, y); }, a, b);
}
inline Words Xor(Words a, Words b) {
  return Each<Words>([](__m128i x, __m128i y) { return _mm_xor_si128(x, y); }, a, b);
}
inline Words And(Words a, Words b) {
  return Each<Words>([](__m128i x, __m128i y) { return _mm_and_si128(x, y); }, a, b);
}
template <int kBits>
inline Words ShiftLeft(Words a) {
  return Each<Words>([](__m128i x) { return _mm_slli_epi32(x, kBits); }, a);
}
template <int kBits>
inline Words ShiftRight(Words a) {
  return Each<Words>([](__m128i x) { return _mm_srli_epi32(x, kBits); }, a);
}
template <int kBits>
inline Words ShiftRightSigned(Words a) {
  return Each<Words>([](__m128i x) { return _mm_srai_epi32(x, kBits); }, a);
}

// Sums in loops need no help here: without three operands they stay where they are.
inline void Pin(Floats&) {}
inline void Pin(Words&) {}

// Four signed bytes in each lane, widened to 16 bits: bytes 0 and 2, and bytes 1 and 3, as pairs.
struct Quads {
  Words even;
  Words odd;
};
inline Quads LoadQuads(const int8_t* from) {
  const Words bytes = {
      {LoadVector(from), LoadVector(from + 16), LoadVector(from + 32), LoadVector(from + 48)}};
  return {Each<Words>([](__m128i x) { return _mm_srai_epi16(_mm_slli_epi16(x, 8), 8); }, bytes),
          Each<Words>([](__m128i x) { return _mm_srai_epi16(x, 8); }, bytes)};
}

// Four factors of 16 bits, the same for all lanes. In memory each four lie in the order 0, 2, 1, 3.
struct Factors {
  __m128i even;
  __m128i odd;
};
inline Factors LoadFactors(const void* from) {
  const __m128i both = _mm_loadl_epi64(static_cast<const __m128i*>(from));
  return {_mm_shuffle_epi32(both, 0x00), _mm_shuffle_epi32(both, 0x55)};
}
inline __m128i SwappedMiddles(__m128i halves) {
  return _mm_shufflehi_epi16(_mm_shufflelo_epi16(halves, 0xD8), 0xD8);
}
inline void StoreFactors(Words x, void* to) {
  const Halves halves = PackedHalves(x);
  StoreVector(SwappedMiddles(halves.low), to);
  StoreVector(SwappedMiddles(halves.high), static_cast<uint8_t*>(to) + 16);
}

// sum + the four products of each lane.
inline Words DotQuads(Quads x, Factors f, Words sum) {
  return Each<Words>(
      [&](__m128i even, __m128i odd, __m128i before) {
        return _mm_add_epi32(
            before, _mm_add_epi32(_mm_madd_epi16(even, f.even), _mm_madd_epi16(odd, f.odd)));
      },
      x.even, x.odd, sum);
}

// The 64-bit product of each word with `b`.
struct WidePair {
  Words low;
  Words high;
};
inline WidePair MulWide(Words a, uint32_t b) {
  const __m128i factor = _mm_set1_epi64x(b);
  const auto of_odd = [&](__m128i x) { return _mm_mul_epu32(_mm_srli_epi64(x, 32), factor); };
  const auto low = [&](__m128i x) {
    return _mm_blend_epi16(_mm_mul_epu32(x, factor), _mm_slli_epi64(of_odd(x), 32), 0xCC);
  };
  const auto high = [&](__m128i x) {
    return _mm_blend_epi16(_mm_srli_epi64(_mm_mul_epu32(x, factor), 32), of_odd(x), 0xCC);
  };
  return {Each<Words>(low, a), Each<Words>(high, a)};
}

inline void Transpose4(__m128i& a, __m128i& b, __m128i& c, __m128i& d) {
  const __m128i ab_low = _mm_unpacklo_epi32(a, b);
  const __m128i ab_high = _mm_unpackhi_epi32(a, b);
  const __m128i cd_low = _mm_unpacklo_epi32(c, d);
  const __m128i cd_high = _mm_unpackhi_epi32(c, d);
  a = _mm_unpacklo_epi64(ab_low, cd_low);
  b = _mm_unpackhi_epi64(ab_low, cd_low);
  c = _mm_unpacklo_epi64(ab_high, cd_high);
  d = _mm_unpackhi_epi64(ab_high, cd_high);
}
// Transposes every 4 × 4 square: word j of quarter L of a, b, c, d becomes quarter L of output j.
inline void Transpose4(Words (&x)[4]) {
  for (size_t i = 0; i < 4; ++i) {
    Transpose4(x[0].of[i], x[1].of[i], x[2].of[i], x[3].of[i]);
  }
}
// The order of counters which makes Transpose4's outputs consecutive.
inline Words LaneNumbersTransposed() {
  return {{_mm_setr_epi32(0, 4, 8, 12), _mm_setr_epi32(1, 5, 9, 13), _mm_setr_epi32(2, 6, 10, 14),
           _mm_setr_epi32(3, 7, 11, 15)}};
}

// Between the two.
inline Words BitsOf(Floats a) {
  return Each<Words>([](__m128 x) { return _mm_castps_si128(x); }, a);
}
inline Floats FloatsOf(Words a) {
  return Each<Floats>([](__m128i x) { return _mm_castsi128_ps(x); }, a);
}
inline Floats ToFloats(Words a) {
  return Each<Floats>([](__m128i x) { return _mm_cvtepi32_ps(x); }, a);
}
inline Words ToWords(Floats integers) {
  return Each<Words>([](__m128 x) { return _mm_cvtps_epi32(x); }, integers);
}

// Choices.
inline Mask operator&(Mask a, Mask b) {
  return Each<Mask>([](__m128 x, __m128 y) { return _mm_and_ps(x, y); }, a, b);
}
inline Mask Less(Floats a, Floats b) {
  return Each<Mask>([](__m128 x, __m128 y) { return _mm_cmplt_ps(x, y); }, a, b);
}
inline Mask GreaterEqual(Floats a, Floats b) {
  return Each<Mask>([](__m128 x, __m128 y) { return _mm_cmpge_ps(x, y); }, a, b);
}
inline Mask Equal(Floats a, Floats b) {
  return Each<Mask>([](__m128 x, __m128 y) { return _mm_cmpeq_ps(x, y); }, a, b);
}
inline Mask IsNan(Floats a) {
  return Each<Mask>([](__m128 x) { return _mm_cmpunord_ps(x, x); }, a);
}
inline Floats Select(Mask m, Floats yes, Floats no) {
  return Each<Floats>([](__m128 mask, __m128 x, __m128 y) { return _mm_blendv_ps(y, x, mask); }, m,
                      yes, no);
}
inline Words Select(Mask m, Words yes, Words no) {
  return BitsOf(Select(m, FloatsOf(yes), FloatsOf(no)));
}
inline uint32_t Bits(Mask m) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) {
    bits |= static_cast<uint32_t>(_mm_movemask_ps(m.of[i])) << 4 * i;
  }
  return bits;
}

// Joins the lanes as the contract's tree.
inline float SumOf(Floats x) {
  const __m128 quarter = _mm_add_ps(_mm_add_ps(x.of[0], x.of[2]), _mm_add_ps(x.of[1], x.of[3]));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
inline float MaxOf(Floats x) {
  const __m128 quarter = _mm_max_ps(_mm_max_ps(x.of[0], x.of[2]), _mm_max_ps(x.of[1], x.of[3]));
  const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
}
inline int32_t SumOf(Words x) {
  const __m128i quarter =
      _mm_add_epi32(_mm_add_epi32(x.of[0], x.of[2]), _mm_add_epi32(x.of[1], x.of[3]));
  const __m128i pair = _mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 0xEE));
  return _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32(pair, 0x55)));
}

}  // namespace
}  // namespace tercet
