// The head's products for 128-bit sets without dot products of bytes.
//
// Weights become unsigned halves of 16 bits, either nibbles of the high plane or whole, w + 128,
// put together from both, and are multiplied in pairs of columns with activations kept as int16;
// 128 times the sum of the activations is then taken off. Sums wrap around modulo 2^32 on the way;
// the result fits (HeadLimit), so it is right.
//
// Shifting a line by 4 bits and masking its halves gives columns 0 and 2, then 4 and 6, 1 and 3, 5
// and 7. So the activations of two lines are kept as the eight even columns and the eight odd ones.
#pragma once

#include "kernels/vector128/gemm.h"

namespace tercet {
namespace {

inline void StoreHeadValues(Words q, size_t k, size_t, uint8_t* values) {
  uint16_t halves[16];
  uint16_t ordered[16];
  StoreHalves(q, halves);
  for (size_t i = 0; i < 8; ++i) {
    ordered[i] = halves[2 * i];
    ordered[8 + i] = halves[2 * i + 1];
  }
  memcpy(values + 2 * k, ordered, sizeof ordered);
}

// Weights are w + 128 where both planes are read.
constexpr uint32_t kHeadBias = 128;

// The codes of nibble j of every half, of both planes or of the high one.
template <bool kBoth, int j>
inline Vector HeadCodes(Vector high, Vector low) {
  if constexpr (kBoth) {
    return WeightsOf<j>(high, low);
  } else {
    return NibblesOf<j>(high);
  }
}

// Columns of one line: nibble j of each half meets pair `pair` of some tokens.
template <bool kBoth, int j, int pair, size_t kTokens, size_t kGroups>
__attribute__((always_inline)) inline void AddNibbles(const Vector (&high)[kGroups],
                                                      const Vector (&low)[kGroups],
                                                      const Pairs (&columns)[kTokens],
                                                      PairSum (&sums)[kTokens][kGroups]) {
  Vector codes[kGroups];
#pragma GCC unroll 8
  for (size_t group = 0; group < kGroups; ++group) {
    codes[group] = HeadCodes<kBoth, j>(high[group], low[group]);
  }
#pragma GCC unroll 4
  for (size_t t = 0; t < kTokens; ++t) {
    const auto two = PairOf<pair>(columns[t]);
#pragma GCC unroll 8
    for (size_t group = 0; group < kGroups; ++group) {
      MultiplyAddPairs(sums[t][group], codes[group], two);
    }
  }
}

// The first or the second of two lines, given where it begins in both planes.
template <bool kBoth, int line, size_t kTokens, size_t kGroups>
__attribute__((always_inline)) inline void AddHeadLine(const uint8_t* high_line,
                                                       const uint8_t* low_line,
                                                       const Pairs (&even)[kTokens],
                                                       const Pairs (&odd)[kTokens],
                                                       PairSum (&sums)[kTokens][kGroups]) {
  Vector high[kGroups];
  Vector low[kGroups];
  Prefetch<kGroups * kVectorBytes>(high_line);
  if constexpr (kBoth) {
    Prefetch<kGroups * kVectorBytes>(low_line);
  }
#pragma GCC unroll 8
  for (size_t group = 0; group < kGroups; ++group) {
    high[group] = LoadVector(high_line + group * kVectorBytes);
    low[group] = kBoth ? LoadVector(low_line + group * kVectorBytes) : high[group];
  }
  AddNibbles<kBoth, 0, 2 * line>(high, low, even, sums);
  AddNibbles<kBoth, 1, 2 * line + 1>(high, low, even, sums);
  AddNibbles<kBoth, 2, 2 * line>(high, low, odd, sums);
  AddNibbles<kBoth, 3, 2 * line + 1>(high, low, odd, sums);
}

// Adds columns [begin, end), multiples of 16, of a tile, which begins at `place` in both planes.
template <bool kBoth, size_t kTokens>
inline void AddHeadColumns(const HeadMatrix& w, const WideRows& x, size_t m, size_t place,
                           size_t begin, size_t end, RowSums* sums) {
  constexpr size_t kGroups = GroupsFor(2 * kTokens);  // lines of two planes wait beside the sums
  for (size_t first = 0; first < kTileGroups; first += kGroups) {
    PairSum wide[kTokens][kGroups] = {};
    for (size_t k = begin; k < end; k += 16) {
      Pairs even[kTokens];
      Pairs odd[kTokens];
#pragma GCC unroll 4
      for (size_t t = 0; t < kTokens; ++t) {
        const uint8_t* values = x.values + (m + t) * x.stride + 2 * k;
        even[t] = LoadPairs(values);
        odd[t] = LoadPairs(values + 16);
      }
      const size_t line = place + k / 8 * kHeadLineBytes + first * kVectorBytes;
      const uint8_t* high = w.high + line;
      const uint8_t* low = kBoth ? w.low + line : high;
      AddHeadLine<kBoth, 0>(high, low, even, odd, wide);
      AddHeadLine<kBoth, 1>(high + kHeadLineBytes, low + kHeadLineBytes, even, odd, wide);
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 8
      for (size_t group = 0; group < kGroups; ++group) {
        AddPairSum(wide[t][group], sums[t] + (first + group) * kGroupRows);
      }
    }
  }
}

// The product of one row with one token, a group of columns at a time.
struct HeadRowSum {
  int32_t sum = 0;

  // A plain loop, which compilers make vectors of.
  void Add(const int8_t* weights, const uint8_t* values, size_t group, size_t) {
    for (size_t k = 0; k < kHeadAlign; k += 16) {
      int16_t columns[16];
      memcpy(columns, values + 2 * (group + k), sizeof columns);
      for (size_t i = 0; i < 8; ++i) {
        sum += weights[k + 2 * i] * columns[i] + weights[k + 2 * i + 1] * columns[8 + i];
      }
    }
  }

  int32_t Total(int32_t) const { return sum; }
};

}  // namespace
}  // namespace tercet
