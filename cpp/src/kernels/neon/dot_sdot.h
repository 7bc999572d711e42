// Products of bytes with FEAT_DotProd.
//
// SDOT adds to each 32-bit lane four products of signed bytes, and by element: the four columns are
// picked out of a register of 16, so a line costs a token one load. 16 sums are more than are in
// flight where two or four products start per cycle and take three or four; with 8 tokens' columns
// and a line's vectors they fill the 32 registers.
#pragma once

#include "kernels/neon/bytes.h"

namespace tercet {
namespace {

constexpr size_t kMaxAdditions = SIZE_MAX;
constexpr size_t kMostSums = 16;
constexpr size_t kMostGroups = 8;
constexpr size_t kMaxTokens = 8;

using Sum = int32x4_t;

// Columns 4 j .. 4 j + 3 of 16.
template <int j>
struct Four {
  Columns columns;
};
template <int j>
inline Four<j> FourOf(Columns columns) {
  return {columns};
}

template <int j>
inline void MultiplyAdd(Sum& sum, Vector codes, Four<j> four) {
  sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(codes), four.columns, j);
}

inline void AddSum(Sum sum, int32_t* to) { vst1q_s32(to, AddWords(vld1q_s32(to), sum)); }

}  // namespace
}  // namespace tercet
