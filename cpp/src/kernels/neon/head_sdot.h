// The head's products for sets with SDOT.
//
// Activations are two planes of signed bytes, q = 128 * high + low, -64 <= low < 64, the high plane
// after the low one: two products a weight. Weights are signed bytes, put together from both planes
// of nibbles by one shift that inserts and one exclusive or, or nibbles of the high plane. Sums
// wrap around modulo 2^32 on the way; the result fits (HeadLimit), so it is right.
#pragma once

#include "kernels/vector128/gemm.h"

namespace tercet {
namespace {

// Weights are signed already: nothing is to be taken off.
constexpr uint32_t kHeadBias = 0;

inline void StoreHeadValues(Words q, size_t k, size_t padded, uint8_t* values) {
  auto* low = reinterpret_cast<int8_t*>(values);
  const Words high = ShiftRightSigned<7>(Add(q, BroadcastWord(64)));
  StoreBytes(Sub(q, ShiftLeft<7>(high)), low + k);
  StoreBytes(high, low + padded + k);
}

// Four rows of a line: their first four columns, and their second.
struct HeadCodes {
  int8x16_t first;
  int8x16_t second;
};

template <bool kBoth>
inline HeadCodes LoadCodes(const uint8_t* high_line, const uint8_t* low_line) {
  const Vector high = LoadVector(high_line);
  if constexpr (!kBoth) {
    return {vreinterpretq_s8_u8(vandq_u8(high, vdupq_n_u8(15))),
            vreinterpretq_s8_u8(vshrq_n_u8(high, 4))};
  } else {
    const Vector low = LoadVector(low_line);
    const Vector sign = vdupq_n_u8(128);  // w + 128 as a byte is w with the sign turned
    return {vreinterpretq_s8_u8(veorq_u8(vsliq_n_u8(low, high, 4), sign)),
            vreinterpretq_s8_u8(veorq_u8(vsriq_n_u8(high, low, 4), sign))};
  }
}

// The activations of a token at 16 columns.
struct WideColumns {
  Columns low;
  Columns high;
};

// The sums of a token and a group of rows.
struct WideSum {
  int32x4_t low;
  int32x4_t high;

  // The first or the second line of two.
  template <int line>
  void Add(HeadCodes codes, WideColumns columns) {
    low = vdotq_laneq_s32(low, codes.first, columns.low, 2 * line);
    high = vdotq_laneq_s32(high, codes.first, columns.high, 2 * line);
    low = vdotq_laneq_s32(low, codes.second, columns.low, 2 * line + 1);
    high = vdotq_laneq_s32(high, codes.second, columns.high, 2 * line + 1);
  }
};

template <bool kBoth, int line, size_t kTokens, size_t kGroups>
__attribute__((always_inline)) inline void AddHeadLine(const uint8_t* high, const uint8_t* low,
                                                       const WideColumns (&columns)[kTokens],
                                                       WideSum (&sums)[kTokens][kGroups]) {
  Prefetch<kGroups * kVectorBytes>(high);
  if constexpr (kBoth) {
    Prefetch<kGroups * kVectorBytes>(low);
  }
#pragma GCC unroll 8
  for (size_t group = 0; group < kGroups; ++group) {
    const HeadCodes codes =
        LoadCodes<kBoth>(high + group * kVectorBytes, low + group * kVectorBytes);
#pragma GCC unroll 4
    for (size_t t = 0; t < kTokens; ++t) {
      sums[t][group].template Add<line>(codes, columns[t]);
    }
  }
}

// Adds columns [begin, end), multiples of 16, of a tile, which begins at `place` in both planes.
template <bool kBoth, size_t kTokens>
inline void AddHeadColumns(const HeadMatrix& w, const WideRows& x, size_t m, size_t place,
                           size_t begin, size_t end, RowSums* sums) {
  constexpr size_t kGroups = GroupsFor(2 * kTokens);
  for (size_t first = 0; first < kTileGroups; first += kGroups) {
    WideSum wide[kTokens][kGroups] = {};
    for (size_t k = begin; k < end; k += 16) {
      WideColumns columns[kTokens];
#pragma GCC unroll 4
      for (size_t t = 0; t < kTokens; ++t) {
        const auto* values = reinterpret_cast<const int8_t*>(x.values + (m + t) * x.stride);
        columns[t] = {LoadColumns(values + k), LoadColumns(values + x.stride / 2 + k)};
      }
      const size_t line = place + k / 8 * kHeadLineBytes + first * kVectorBytes;
      const uint8_t* high = w.high + line;
      const uint8_t* low = kBoth ? w.low + line : high;
      AddHeadLine<kBoth, 0>(high, low, columns, wide);
      AddHeadLine<kBoth, 1>(high + kHeadLineBytes, low + kHeadLineBytes, columns, wide);
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 8
      for (size_t group = 0; group < kGroups; ++group) {
        const WideSum sum = wide[t][group];
        AddSum(AddWords(sum.low, vshlq_n_s32(sum.high, 7)), sums[t] + (first + group) * kGroupRows);
      }
    }
  }
}

// The product of one row with one token, a group of columns at a time.
struct HeadRowSum {
  int32x4_t low = vdupq_n_s32(0);
  int32x4_t high = vdupq_n_s32(0);

  void Add(const int8_t* weights, const uint8_t* values, size_t group, size_t stride) {
    const auto* columns = reinterpret_cast<const int8_t*>(values) + group;
    for (size_t k = 0; k < kHeadAlign; k += 16) {
      const int8x16_t bytes = vld1q_s8(weights + k);
      low = vdotq_s32(low, bytes, vld1q_s8(columns + k));
      high = vdotq_s32(high, bytes, vld1q_s8(columns + stride / 2 + k));
    }
  }

  int32_t Total(int32_t) const { return vaddvq_s32(AddWords(low, vshlq_n_s32(high, 7))); }
};

}  // namespace
}  // namespace tercet
