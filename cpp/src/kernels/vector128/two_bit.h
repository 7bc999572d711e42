// Ternary weights at 2 bits × int8 activations of a few tokens, for 128-bit sets.
//
// A weight w is stored as the code w + 1 in {0, 1, 2}, and the sum of the activations is taken off:
// sum a*w = sum a*(w + 1) - sum a.
//
// A tile is a sequence of lines, a line being eight groups of 4 rows × 16 columns (generic/pack.h):
// one load, then shifts and masks, give four vectors of codes, which meet the tokens as they come.
#pragma once

#include "kernels/vector128/gemm.h"

namespace tercet {
namespace {

// Lines whose products one sum holds, and which are unpacked at a time: four additions a line.
constexpr size_t kLinesAtOnce = 16;
static_assert(4 * kLinesAtOnce <= kMaxAdditions);

// Tokens up to which lines are unpacked anew for each pass over a tile, as memory is the bound.
constexpr size_t kMaxFewTokens = 4;

// Columns 4 j .. 4 j + 3 of a line, of tokens × groups.
template <int j, size_t kTokens, size_t kGroups>
__attribute__((always_inline)) inline void AddOperand(const Vector (&codes)[kGroups],
                                                      const Columns (&columns)[kTokens],
                                                      Sum (&sums)[kTokens][kGroups]) {
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    const auto four = FourOf<j>(columns[t]);
#pragma GCC unroll 8
    for (size_t group = 0; group < kGroups; ++group) {
      MultiplyAdd(sums[t][group], codes[group], four);
    }
  }
}

template <int j, size_t kTokens, size_t kGroups>
__attribute__((always_inline)) inline void AddCodes(const Vector (&packed)[kGroups],
                                                    const Columns (&columns)[kTokens],
                                                    Sum (&sums)[kTokens][kGroups]) {
  Vector codes[kGroups];
#pragma GCC unroll 8
  for (size_t group = 0; group < kGroups; ++group) {
    codes[group] = CodesOf<j>(packed[group]);
  }
  AddOperand<j>(codes, columns, sums);
}

template <size_t kTokens, size_t kGroups>
__attribute__((always_inline)) inline void AddSums(const Sum (&narrow)[kTokens][kGroups],
                                                   size_t first, RowSums* sums) {
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 8
    for (size_t group = 0; group < kGroups; ++group) {
      AddSum(narrow[t][group], sums[t] + (first + group) * kGroupRows);
    }
  }
}

// The activations of tokens at a line's columns.
template <size_t kTokens>
__attribute__((always_inline)) inline void LoadTokens(const int8_t* values, size_t stride,
                                                      Columns (&columns)[kTokens]) {
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    columns[t] = LoadColumns(values + t * stride);
  }
}

// Adds `num_lines`, at most kLinesAtOnce, of a tile for tokens; `values` are theirs at the first
// line's columns.
template <size_t kTokens>
inline void AddLines(const uint8_t* lines, size_t num_lines, const int8_t* values, size_t stride,
                     RowSums* sums) {
  constexpr size_t kGroups = GroupsFor(kTokens);
  for (size_t first = 0; first < kTileGroups; first += kGroups) {
    Sum narrow[kTokens][kGroups] = {};
    for (size_t line = 0; line < num_lines; ++line) {
      const uint8_t* from = lines + line * kLineBytes + first * kVectorBytes;
      Prefetch<kGroups * kVectorBytes>(from);
      Vector packed[kGroups];
#pragma GCC unroll 8
      for (size_t group = 0; group < kGroups; ++group) {
        packed[group] = LoadVector(from + group * kVectorBytes);
      }
      Columns columns[kTokens];
      LoadTokens(values + line * 16, stride, columns);
      AddCodes<0>(packed, columns, narrow);
      AddCodes<1>(packed, columns, narrow);
      AddCodes<2>(packed, columns, narrow);
      AddCodes<3>(packed, columns, narrow);
    }
    AddSums(narrow, first, sums);
  }
}

// All tokens, at most kMaxFewTokens, × one tile.
template <size_t kTokens>
void MultiplyTile(const TernaryMatrix& w, const Int8Rows& x, size_t tile, float* out,
                  size_t out_stride) {
  const size_t num_lines = x.stride / 16;
  const uint8_t* lines = w.packed + tile * num_lines * kLineBytes;
  RowSums sums[kTokens];
  for (size_t t = 0; t < kTokens; ++t) {
    BeginSums(-x.sums[t], sums[t]);
  }
  for (size_t line = 0; line < num_lines; line += kLinesAtOnce) {
    const size_t count = num_lines - line < kLinesAtOnce ? num_lines - line : kLinesAtOnce;
    AddLines<kTokens>(lines + line * kLineBytes, count, x.values + line * 16, x.stride, sums);
  }
  const size_t n = tile * kTileRows;
  for (size_t t = 0; t < kTokens; ++t) {
    StoreTile(sums[t], x.scales[t], w.row_scales + n, w.rows - n, out + t * out_stride + n);
  }
}

using MultiplyTileFunction = void (*)(const TernaryMatrix&, const Int8Rows&, size_t, float*,
                                      size_t);
constexpr MultiplyTileFunction kFewTokens[kMaxFewTokens] = {MultiplyTile<1>, MultiplyTile<2>,
                                                            MultiplyTile<3>, MultiplyTile<4>};

}  // namespace
}  // namespace tercet
