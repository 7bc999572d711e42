// The 16 lanes of a reduction in four NEON registers: register q holds lanes 4 q to 4 q + 3.
#pragma once

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace tercet {
namespace {

struct Floats {
  float32x4_t of[4];
};
struct Words {
  uint32x4_t of[4];
};
struct Mask {
  uint32x4_t of[4];
};

// A block of so many accumulators leaves registers for its operands.
inline constexpr size_t kBlockRows = 4;
inline constexpr size_t kBlockColumns = 1;

// Which lanes of a step exist: all 16, or the first few at a row's end.
struct All {};
struct First {
  size_t count;
};

// One operation on each register.
template <class Result, class Operation>
inline Result Each(Operation operation) {
  return {{operation(0), operation(1), operation(2), operation(3)}};
}

inline Words BroadcastWord(uint32_t x) {
  const uint32x4_t all = vdupq_n_u32(x);
  return {{all, all, all, all}};
}

// 0, 1, ... 15.
inline Words LaneNumbers() {
  const uint32x4_t first = {0, 1, 2, 3};
  return Each<Words>([&](uint32_t q) { return vaddq_u32(first, vdupq_n_u32(4 * q)); });
}

inline Mask MaskOf(First part) {
  const uint32x4_t count = vdupq_n_u32(static_cast<uint32_t>(part.count));
  const Words lanes = LaneNumbers();
  return Each<Mask>([&](int q) { return vcltq_u32(lanes.of[q], count); });
}

// Memory. Lanes that do not exist are loaded as 0 and not stored.
inline Floats Load(const float* from, All = {}) {
  return Each<Floats>([&](int q) { return vld1q_f32(from + 4 * q); });
}
inline Floats Load(const float* from, First part) {
  float padded[16] = {};
  memcpy(padded, from, part.count * sizeof *from);
  return Load(padded);
}
inline void Store(Floats x, float* to, All = {}) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    vst1q_f32(to + 4 * q, x.of[q]);
  }
}
inline void Store(Floats x, float* to, First part) {
  float padded[16];
  Store(x, padded);
  memcpy(to, padded, part.count * sizeof *to);
}

inline Floats LoadBf16(const uint16_t* from, All = {}) {
  return Each<Floats>(
      [&](int q) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(from + 4 * q), 16)); });
}
inline Floats LoadBf16(const uint16_t* from, First part) {
  uint16_t padded[16] = {};
  memcpy(padded, from, part.count * sizeof *from);
  return LoadBf16(padded);
}

// The low half, or quarter, of every word; all 16 are written.
inline uint16x8_t PackedHalves(uint32x4_t low, uint32x4_t high) {
  return vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
}
inline void StoreHalves(Words x, uint16_t* to) {
  vst1q_u16(to, PackedHalves(x.of[0], x.of[1]));
  vst1q_u16(to + 8, PackedHalves(x.of[2], x.of[3]));
}
inline uint8x16_t PackedBytes(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d) {
  return vuzp1q_u8(vreinterpretq_u8_u16(PackedHalves(a, b)),
                   vreinterpretq_u8_u16(PackedHalves(c, d)));
}
inline void StoreBytes(Words x, int8_t* to) {
  vst1q_s8(to, vreinterpretq_s8_u8(PackedBytes(x.of[0], x.of[1], x.of[2], x.of[3])));
}

// Floats, one IEEE operation each. Max is a > b ? a : b, Min a < b ? a : b: FMAX and FMIN are not,
// where an operand is NaN or both are zeros.
inline Floats Broadcast(float x) {
  const float32x4_t all = vdupq_n_f32(x);
  return {{all, all, all, all}};
}
inline Floats Add(Floats a, Floats b) {
  return Each<Floats>([&](int q) { return vaddq_f32(a.of[q], b.of[q]); });
}
inline Floats Sub(Floats a, Floats b) {
  return Each<Floats>([&](int q) { return vsubq_f32(a.of[q], b.of[q]); });
}
inline Floats Mul(Floats a, Floats b) {
  return Each<Floats>([&](int q) { return vmulq_f32(a.of[q], b.of[q]); });
}
inline Floats Div(Floats a, Floats b) {
  return Each<Floats>([&](int q) { return vdivq_f32(a.of[q], b.of[q]); });
}
inline Floats Fma(Floats a, Floats b, Floats c) {
  return Each<Floats>([&](int q) { return vfmaq_f32(c.of[q], a.of[q], b.of[q]); });
}
inline float32x4_t Max(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline Floats Max(Floats a, Floats b) {
  return Each<Floats>([&](int q) { return Max(a.of[q], b.of[q]); });
}
inline Floats Min(Floats a, Floats b) {
  return Each<Floats>(
      [&](int q) { return vbslq_f32(vcltq_f32(a.of[q], b.of[q]), a.of[q], b.of[q]); });
}
inline Floats Abs(Floats a) {
  return Each<Floats>([&](int q) { return vabsq_f32(a.of[q]); });
}
inline Floats Negate(Floats a) {
  return Each<Floats>([&](int q) { return vnegq_f32(a.of[q]); });
}
inline Floats RoundHalfEven(Floats a) {
  return Each<Floats>([&](int q) { return vrndnq_f32(a.of[q]); });
}
inline float SquareRoot(float x) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0); }

// Words, modulo 2^32.
inline Words Add(Words a, Words b) {
  return Each<Words>([&](int q) { return vaddq_u32(a.of[q], b.of[q]); });
}
inline Words Sub(Words a, Words b) {
  return Each<Words>([&](int q) { return vsubq_u32(a.of[q], b.of[q]); });
}
inline Words Xor(Words a, Words b) {
  return Each<Words>([&](int q) { return veorq_u32(a.of[q], b.of[q]); });
}
inline Words And(Words a, Words b) {
  return Each<Words>([&](int q) { return vandq_u32(a.of[q], b.of[q]); });
}
template <int kBits>
inline Words ShiftLeft(Words a) {
  return Each<Words>([&](int q) { return vshlq_n_u32(a.of[q], kBits); });
}
template <int kBits>
inline Words ShiftRight(Words a) {
  return Each<Words>([&](int q) { return vshrq_n_u32(a.of[q], kBits); });
}
template <int kBits>
inline Words ShiftRightSigned(Words a) {
  return Each<Words>([&](int q) {
    return vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(a.of[q]), kBits));
  });
}

// Empty statements that keep GCC 12 from holding a second copy of a sum for after the loop.
inline void Pin(Floats& sum) {
  __asm__("" : "+w"(sum.of[0]), "+w"(sum.of[1]), "+w"(sum.of[2]), "+w"(sum.of[3]));
}

// Four signed bytes in each lane, widened to 16 bits: byte i of lanes 0 to 7, then of 8 to 15.
struct Quads {
  int16x8_t low[4];
  int16x8_t high[4];
};
inline Quads LoadQuads(const int8_t* from) {
  const int8x16x4_t bytes = vld4q_s8(from);
  Quads quads;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    quads.low[i] = vmovl_s8(vget_low_s8(bytes.val[i]));
    quads.high[i] = vmovl_high_s8(bytes.val[i]);
  }
  return quads;
}

// Four factors of 16 bits, the same for all lanes, in memory one after another.
using Factors = int16x4_t;
inline Factors LoadFactors(const void* from) {
  int16_t factors[4];
  memcpy(factors, from, sizeof factors);
  return vld1_s16(factors);
}
inline void StoreFactors(Words x, void* to) {
  uint16_t halves[16];
  StoreHalves(x, halves);
  memcpy(to, halves, sizeof halves);
}

// sum + the products of byte i of each lane.
template <int i>
inline void AddProducts(Quads x, Factors f, Words& sum) {
  int32x4_t words[4];
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    words[q] = vreinterpretq_s32_u32(sum.of[q]);
  }
  words[0] = vmlal_lane_s16(words[0], vget_low_s16(x.low[i]), f, i);
  words[1] = vmlal_high_lane_s16(words[1], x.low[i], f, i);
  words[2] = vmlal_lane_s16(words[2], vget_low_s16(x.high[i]), f, i);
  words[3] = vmlal_high_lane_s16(words[3], x.high[i], f, i);
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    sum.of[q] = vreinterpretq_u32_s32(words[q]);
  }
}
// sum + the four products of each lane.
inline Words DotQuads(Quads x, Factors f, Words sum) {
  AddProducts<0>(x, f, sum);
  AddProducts<1>(x, f, sum);
  AddProducts<2>(x, f, sum);
  AddProducts<3>(x, f, sum);
  return sum;
}

struct WidePair {
  Words low;
  Words high;
};
// The 64-bit product of each word with `b`.
inline WidePair MulWide(Words a, uint32_t b) {
  const uint32x4_t factor = vdupq_n_u32(b);
  WidePair product;
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    const uint32x4_t first =
        vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a.of[q]), vget_low_u32(factor)));
    const uint32x4_t second = vreinterpretq_u32_u64(vmull_high_u32(a.of[q], factor));
    product.low.of[q] = vuzp1q_u32(first, second);
    product.high.of[q] = vuzp2q_u32(first, second);
  }
  return product;
}

// Transposes every 4 × 4 square: word j of quarter L of a, b, c, d becomes quarter L of output j.
inline uint32x4_t Low64(uint32x4_t a, uint32x4_t b) {
  return vreinterpretq_u32_u64(vzip1q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
}
inline uint32x4_t High64(uint32x4_t a, uint32x4_t b) {
  return vreinterpretq_u32_u64(vzip2q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
}
inline void Transpose4(Words (&x)[4]) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    const uint32x4_t ab_low = vzip1q_u32(x[0].of[q], x[1].of[q]);
    const uint32x4_t ab_high = vzip2q_u32(x[0].of[q], x[1].of[q]);
    const uint32x4_t cd_low = vzip1q_u32(x[2].of[q], x[3].of[q]);
    const uint32x4_t cd_high = vzip2q_u32(x[2].of[q], x[3].of[q]);
    x[0].of[q] = Low64(ab_low, cd_low);
    x[1].of[q] = High64(ab_low, cd_low);
    x[2].of[q] = Low64(ab_high, cd_high);
    x[3].of[q] = High64(ab_high, cd_high);
  }
}
// The order of counters which makes Transpose4's outputs consecutive.
inline Words LaneNumbersTransposed() {
  const uint32x4_t first = {0, 4, 8, 12};
  return Each<Words>([&](uint32_t q) { return vaddq_u32(first, vdupq_n_u32(q)); });
}

// Between the two.
inline Words BitsOf(Floats a) {
  return Each<Words>([&](int q) { return vreinterpretq_u32_f32(a.of[q]); });
}
inline Floats FloatsOf(Words a) {
  return Each<Floats>([&](int q) { return vreinterpretq_f32_u32(a.of[q]); });
}
inline Floats ToFloats(Words a) {
  return Each<Floats>([&](int q) { return vcvtq_f32_s32(vreinterpretq_s32_u32(a.of[q])); });
}
inline Words ToWords(Floats integers) {
  return Each<Words>([&](int q) { return vreinterpretq_u32_s32(vcvtnq_s32_f32(integers.of[q])); });
}

// Choices.
inline Mask MaskOf(All) {
  const uint32x4_t all = vdupq_n_u32(0xffffffffu);
  return {{all, all, all, all}};
}
inline Mask operator&(Mask a, Mask b) {
  return Each<Mask>([&](int q) { return vandq_u32(a.of[q], b.of[q]); });
}
inline Mask Less(Floats a, Floats b) {
  return Each<Mask>([&](int q) { return vcltq_f32(a.of[q], b.of[q]); });
}
inline Mask GreaterEqual(Floats a, Floats b) {
  return Each<Mask>([&](int q) { return vcgeq_f32(a.of[q], b.of[q]); });
}
inline Mask Equal(Floats a, Floats b) {
  return Each<Mask>([&](int q) { return vceqq_f32(a.of[q], b.of[q]); });
}
inline Mask IsNan(Floats a) {
  return Each<Mask>([&](int q) { return vmvnq_u32(vceqq_f32(a.of[q], a.of[q])); });
}
inline Floats Select(Mask m, Floats yes, Floats no) {
  return Each<Floats>([&](int q) { return vbslq_f32(m.of[q], yes.of[q], no.of[q]); });
}
inline Words Select(Mask m, Words yes, Words no) {
  return Each<Words>([&](int q) { return vbslq_u32(m.of[q], yes.of[q], no.of[q]); });
}
inline uint32_t Bits(Mask m) {
  const uint8x16_t places = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t bits = vandq_u8(PackedBytes(m.of[0], m.of[1], m.of[2], m.of[3]), places);
  return uint32_t{vaddv_u8(vget_low_u8(bits))} | uint32_t{vaddv_u8(vget_high_u8(bits))} << 8;
}

// Joins the lanes as the contract's tree.
inline float SumOf(Floats x) {
  const float32x4_t quarter = vaddq_f32(vaddq_f32(x.of[0], x.of[2]), vaddq_f32(x.of[1], x.of[3]));
  const float32x2_t pair = vadd_f32(vget_low_f32(quarter), vget_high_f32(quarter));
  return vget_lane_f32(pair, 0) + vget_lane_f32(pair, 1);
}
inline float MaxOf(Floats x) {
  const float32x4_t quarter = Max(Max(x.of[0], x.of[2]), Max(x.of[1], x.of[3]));
  const float32x4_t pair = Max(quarter, vextq_f32(quarter, quarter, 2));
  return vgetq_lane_f32(Max(pair, vextq_f32(pair, pair, 1)), 0);
}
inline int32_t SumOf(Words x) {
  const uint32x4_t quarter = vaddq_u32(vaddq_u32(x.of[0], x.of[2]), vaddq_u32(x.of[1], x.of[3]));
  return static_cast<int32_t>(vaddvq_u32(quarter));
}

}  // namespace
}  // namespace tercet
