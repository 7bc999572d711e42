// Products of bytes with plain NEON.
//
// SMLAL and SMLAL2 multiply the lower and the upper eight of 16 bytes and add to 16 bits each. With
// codes of at most 2 and activations between -128 and 127 a product is between -256 and 254, and
// 128 of them, between -32768 and 32512, can be added before they are widened: nothing wraps
// around. That is two instructions for 16 products, and five for a row's columns to be joined, once
// in 64 additions.
#pragma once

#include "kernels/neon/bytes.h"

namespace tercet {
namespace {

constexpr size_t kMaxAdditions = 128;

// A sum is two registers: 16 of 32 are sums, and for one token a line's eight vectors fit beside
// them.
constexpr size_t kMostSums = 8;
constexpr size_t kMostGroups = 8;
constexpr size_t kMaxTokens = 4;

struct Sum {
  int16x8_t low;
  int16x8_t high;
};

template <int j>
inline int8x16_t FourOf(Columns columns) {
  return vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(columns), j));
}

inline void MultiplyAdd(Sum& sum, Vector codes, int8x16_t four) {
  const int8x16_t weights = vreinterpretq_s8_u8(codes);
  sum.low = vmlal_s8(sum.low, vget_low_s8(weights), vget_low_s8(four));
  sum.high = vmlal_high_s8(sum.high, weights, four);
}

inline void AddSum(Sum sum, int32_t* to) {
  const int32x4_t rows = vpaddq_s32(vpaddlq_s16(sum.low), vpaddlq_s16(sum.high));
  vst1q_s32(to, AddWords(vld1q_s32(to), rows));
}

// For the head: halves of 16 bits.

template <int j>
inline Vector NibblesOf(Vector plane) {
  const uint16x8_t halves = vreinterpretq_u16_u8(plane);
  if constexpr (j == 0) {
    return vreinterpretq_u8_u16(vandq_u16(halves, vdupq_n_u16(15)));
  } else if constexpr (j == 3) {
    return vreinterpretq_u8_u16(vshrq_n_u16(halves, 12));
  } else {
    return vreinterpretq_u8_u16(vandq_u16(vshrq_n_u16(halves, 4 * j), vdupq_n_u16(15)));
  }
}

// SLI keeps the lower four bits of the one and takes the others from the other.
template <int j>
inline Vector WeightsOf(Vector high, Vector low) {
  return vreinterpretq_u8_u16(vsliq_n_u16(vreinterpretq_u16_u8(NibblesOf<j>(low)),
                                          vreinterpretq_u16_u8(NibblesOf<j>(high)), 4));
}

using Pairs = int16x8_t;
inline Pairs LoadPairs(const uint8_t* from) { return vreinterpretq_s16_u8(vld1q_u8(from)); }

template <int j>
inline int16x8_t PairOf(Pairs pairs) {
  return vreinterpretq_s16_s32(vdupq_laneq_s32(vreinterpretq_s32_s16(pairs), j));
}

// A lane is a row's product with one of the two columns.
struct PairSum {
  int32x4_t low;
  int32x4_t high;
};

inline void MultiplyAddPairs(PairSum& sum, Vector halves, int16x8_t pair) {
  const int16x8_t weights = vreinterpretq_s16_u8(halves);
  sum.low = vmlal_s16(sum.low, vget_low_s16(weights), vget_low_s16(pair));
  sum.high = vmlal_high_s16(sum.high, weights, pair);
}

inline void AddPairSum(PairSum sum, int32_t* to) {
  vst1q_s32(to, AddWords(vld1q_s32(to), vpaddq_s32(sum.low, sum.high)));
}

}  // namespace
}  // namespace tercet
