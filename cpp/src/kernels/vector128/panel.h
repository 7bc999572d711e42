// Some lines of a tile unpacked to bytes once, 8 KB in L1, for up to 32 tokens: a vector of codes
// then costs a token a fraction of a load, and multiplying is the bound. The sums of all those
// tokens wait in memory while the next lines are unpacked.
//
// A set may bring a panel of its own under the same names: Panel, Unpack and AddPanel.
#pragma once

#include "kernels/vector128/two_bit.h"

namespace tercet {
namespace {

// A code a byte, four consecutive columns of the group's rows to a vector.
struct Panel {
  alignas(64) uint8_t codes[kTileGroups][kLinesAtOnce][4][kVectorBytes];
};

inline void Unpack(const uint8_t* lines, size_t num_lines, Panel& panel) {
  for (size_t line = 0; line < num_lines; ++line) {
    Prefetch<kLineBytes>(lines + line * kLineBytes);
#pragma GCC unroll 8
    for (size_t group = 0; group < kTileGroups; ++group) {
      const Vector packed = LoadVector(lines + line * kLineBytes + group * kVectorBytes);
      StoreVector(CodesOf<0>(packed), panel.codes[group][line][0]);
      StoreVector(CodesOf<1>(packed), panel.codes[group][line][1]);
      StoreVector(CodesOf<2>(packed), panel.codes[group][line][2]);
      StoreVector(CodesOf<3>(packed), panel.codes[group][line][3]);
    }
  }
}

template <int j, size_t kTokens, size_t kGroups>
__attribute__((always_inline)) inline void AddUnpacked(const Panel& panel, size_t line,
                                                       size_t first,
                                                       const Columns (&columns)[kTokens],
                                                       Sum (&sums)[kTokens][kGroups]) {
  Vector codes[kGroups];
#pragma GCC unroll 8
  for (size_t group = 0; group < kGroups; ++group) {
    codes[group] = LoadVector(panel.codes[first + group][line][j]);
  }
  AddOperand<j>(codes, columns, sums);
}

template <size_t kTokens>
inline void AddPanelTokens(const Panel& panel, size_t num_lines, const int8_t* values,
                           size_t stride, RowSums* sums) {
  constexpr size_t kGroups = GroupsFor(kTokens);
  for (size_t first = 0; first < kTileGroups; first += kGroups) {
    Sum narrow[kTokens][kGroups] = {};
    for (size_t line = 0; line < num_lines; ++line) {
      Columns columns[kTokens];
      LoadTokens(values + line * 16, stride, columns);
      AddUnpacked<0>(panel, line, first, columns, narrow);
      AddUnpacked<1>(panel, line, first, columns, narrow);
      AddUnpacked<2>(panel, line, first, columns, narrow);
      AddUnpacked<3>(panel, line, first, columns, narrow);
    }
    AddSums(narrow, first, sums);
  }
}

// As many tokens as are asked for, at most kTokens.
template <size_t kTokens>
inline void AddPanelBlock(size_t num_tokens, const Panel& panel, size_t num_lines,
                          const int8_t* values, size_t stride, RowSums* sums) {
  if constexpr (kTokens > 1) {
    if (num_tokens < kTokens) {
      return AddPanelBlock<kTokens - 1>(num_tokens, panel, num_lines, values, stride, sums);
    }
  }
  AddPanelTokens<kTokens>(panel, num_lines, values, stride, sums);
}

// Adds the panel's lines for some tokens; `values` are theirs at its first column.
inline void AddPanel(const Panel& panel, size_t num_lines, const int8_t* values, size_t stride,
                     size_t num_tokens, RowSums* sums) {
  ForStretches(num_tokens, kMaxTokens, [&](size_t begin, size_t end) {
    AddPanelBlock<kMaxTokens>(end - begin, panel, num_lines, values + begin * stride, stride,
                              sums + begin);
  });
}

}  // namespace
}  // namespace tercet
