// A panel for FEAT_I8MM, in place of vector128/panel.h.
//
// SMMLA multiplies two rows of eight bytes by two others and adds the four dot products to 32-bit
// lanes: twice the products of SDOT. One pair of rows are two tokens, the other two rows of the
// matrix at eight columns, put side by side when the panel is unpacked. Tokens are put together as
// pairs once for a panel, another 8 KB of L1, which costs a load and a store for every 16 products.
//
// Six pairs of tokens and two groups of rows are 24 sums; with four vectors of codes and one of
// tokens they fill the registers, and ten loads feed 24 products. GCC 12 spills a few of them, and
// still takes fewer instructions for a product than with five or four pairs.
#pragma once

#include "kernels/vector128/two_bit.h"

namespace tercet {
namespace {

// Eight columns of rows 0 and 1, then of rows 2 and 3 of a group; then the line's other eight.
struct Panel {
  alignas(64) uint8_t codes[kTileGroups][kLinesAtOnce][4][kVectorBytes];
};

inline Vector Zip1(Vector a, Vector b) {
  return vreinterpretq_u8_u32(vzip1q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}
inline Vector Zip2(Vector a, Vector b) {
  return vreinterpretq_u8_u32(vzip2q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}

inline void Unpack(const uint8_t* lines, size_t num_lines, Panel& panel) {
  for (size_t line = 0; line < num_lines; ++line) {
    Prefetch<kLineBytes>(lines + line * kLineBytes);
#pragma GCC unroll 8
    for (size_t group = 0; group < kTileGroups; ++group) {
      const Vector packed = LoadVector(lines + line * kLineBytes + group * kVectorBytes);
      const Vector next = vshrq_n_u8(packed, 2);  // the codes four columns further
      const Vector first = Zip1(packed, next);
      const Vector second = Zip2(packed, next);
      StoreVector(CodesOf<0>(first), panel.codes[group][line][0]);
      StoreVector(CodesOf<0>(second), panel.codes[group][line][1]);
      StoreVector(CodesOf<2>(first), panel.codes[group][line][2]);
      StoreVector(CodesOf<2>(second), panel.codes[group][line][3]);
    }
  }
}

// Eight columns of two tokens to a vector.
struct TokenPairs {
  alignas(64) int8_t values[kTokensAtOnce / 2][kLinesAtOnce][2][kVectorBytes];
};

// The last of an odd number of tokens is its own partner.
inline void PutTogether(const int8_t* values, size_t stride, size_t num_tokens, size_t num_lines,
                        TokenPairs& pairs) {
  for (size_t t = 0; t < num_tokens; t += 2) {
    const int8_t* first = values + t * stride;
    const int8_t* second = t + 1 < num_tokens ? first + stride : first;
    for (size_t line = 0; line < num_lines; ++line) {
      const int64x2_t a = vreinterpretq_s64_s8(LoadColumns(first + line * 16));
      const int64x2_t b = vreinterpretq_s64_s8(LoadColumns(second + line * 16));
      vst1q_s8(pairs.values[t / 2][line][0], vreinterpretq_s8_s64(vzip1q_s64(a, b)));
      vst1q_s8(pairs.values[t / 2][line][1], vreinterpretq_s8_s64(vzip2q_s64(a, b)));
    }
  }
}

constexpr size_t kMaxPairs = 6;
constexpr size_t kPanelGroups = 2;

// Four rows of a group with two tokens: lanes are the first token's products with two rows, then
// the second's.
struct PairSums {
  int32x4_t first;   // with rows 0 and 1
  int32x4_t second;  // with rows 2 and 3
};

inline int32x4_t Joined(int64x2_t rows) { return vreinterpretq_s32_s64(rows); }

inline void AddPairSums(PairSums sum, size_t place, size_t num_tokens, RowSums* sums) {
  const int64x2_t first = vreinterpretq_s64_s32(sum.first);
  const int64x2_t second = vreinterpretq_s64_s32(sum.second);
  AddSum(Joined(vzip1q_s64(first, second)), sums[0] + place);
  if (num_tokens > 1) {
    AddSum(Joined(vzip2q_s64(first, second)), sums[1] + place);
  }
}

// Eight columns of groups of rows with pairs of tokens.
template <size_t kPairs>
__attribute__((always_inline)) inline void AddEightColumns(const Panel& panel,
                                                           const TokenPairs& pairs,
                                                           size_t first_group, size_t first_pair,
                                                           size_t line, size_t half,
                                                           PairSums (&sums)[kPairs][kPanelGroups]) {
  int8x16_t codes[kPanelGroups][2];
#pragma GCC unroll 2
  for (size_t group = 0; group < kPanelGroups; ++group) {
    const auto& vectors = panel.codes[first_group + group][line];
    codes[group][0] = vreinterpretq_s8_u8(LoadVector(vectors[2 * half]));
    codes[group][1] = vreinterpretq_s8_u8(LoadVector(vectors[2 * half + 1]));
  }
#pragma GCC unroll 6
  for (size_t pair = 0; pair < kPairs; ++pair) {
    const int8x16_t tokens = vld1q_s8(pairs.values[first_pair + pair][line][half]);
#pragma GCC unroll 2
    for (size_t group = 0; group < kPanelGroups; ++group) {
      PairSums& sum = sums[pair][group];
      sum.first = vmmlaq_s32(sum.first, tokens, codes[group][0]);
      sum.second = vmmlaq_s32(sum.second, tokens, codes[group][1]);
    }
  }
}

// Pairs [first_pair, first_pair + kPairs); num_tokens are those of all pairs from first_pair.
template <size_t kPairs>
inline void AddPanelPairs(const Panel& panel, const TokenPairs& pairs, size_t num_lines,
                          size_t first_pair, size_t num_tokens, RowSums* sums) {
  for (size_t first = 0; first < kTileGroups; first += kPanelGroups) {
    PairSums wide[kPairs][kPanelGroups] = {};
    for (size_t line = 0; line < num_lines; ++line) {
      AddEightColumns(panel, pairs, first, first_pair, line, 0, wide);
      AddEightColumns(panel, pairs, first, first_pair, line, 1, wide);
    }
#pragma GCC unroll 6
    for (size_t pair = 0; pair < kPairs; ++pair) {
#pragma GCC unroll 2
      for (size_t group = 0; group < kPanelGroups; ++group) {
        AddPairSums(wide[pair][group], (first + group) * kGroupRows, num_tokens - 2 * pair,
                    sums + 2 * pair);
      }
    }
  }
}

// As many pairs as are asked for, at most kPairs.
template <size_t kPairs>
inline void AddPanelBlock(size_t num_pairs, const Panel& panel, const TokenPairs& pairs,
                          size_t num_lines, size_t first_pair, size_t num_tokens, RowSums* sums) {
  if constexpr (kPairs > 1) {
    if (num_pairs < kPairs) {
      return AddPanelBlock<kPairs - 1>(num_pairs, panel, pairs, num_lines, first_pair, num_tokens,
                                       sums);
    }
  }
  AddPanelPairs<kPairs>(panel, pairs, num_lines, first_pair, num_tokens, sums);
}

// Adds the panel's lines for some tokens; `values` are theirs at its first column.
inline void AddPanel(const Panel& panel, size_t num_lines, const int8_t* values, size_t stride,
                     size_t num_tokens, RowSums* sums) {
  TokenPairs pairs;
  PutTogether(values, stride, num_tokens, num_lines, pairs);
  ForStretches((num_tokens + 1) / 2, kMaxPairs, [&](size_t begin, size_t end) {
    AddPanelBlock<kMaxPairs>(end - begin, panel, pairs, num_lines, begin, num_tokens - 2 * begin,
                             sums + 2 * begin);
  });
}

}  // namespace
}  // namespace tercet
