// Ternary weights at 2 bits × int8 activations of many tokens, for 256-bit sets.
//
// 16 lines of a tile are unpacked to bytes once, 8 KB in L1, and pass through up to 32 tokens: a
// vector of codes then costs a token a fraction of a load, and multiplying is the bound. The sums
// of all those tokens wait in memory while the next lines are unpacked.
#pragma once

#include "kernels/avx2/two_bit.h"
#include "kernels/generic/pack.h"

namespace tercet {
namespace {

// Tokens that one unpacking serves: their activations at those columns are another 8 KB of L1.
constexpr size_t kTokensAtOnce = 32;

// Some lines of a tile, a code a byte, four consecutive columns of the group's rows to a vector.
struct Panel {
  alignas(64) uint8_t codes[kTileGroups][4 * kLinesAtOnce][kVectorBytes];
};

inline void Unpack(const uint8_t* lines, size_t num_lines, Panel& panel) {
  const __m256i mask = _mm256_set1_epi8(3);
  for (size_t line = 0; line < num_lines; ++line) {
#pragma GCC unroll 4
    for (size_t group = 0; group < kTileGroups; ++group) {
      const uint8_t* from = lines + line * kLineBytes + group * kVectorBytes;
      Prefetch(from);
      __m256i packed = LoadVector(from);
#pragma GCC unroll 4
      for (size_t j = 0; j < 4; ++j) {
        StoreVector(_mm256_and_si256(packed, mask), panel.codes[group][line * 4 + j]);
        packed = _mm256_srli_epi16(packed, 2);
      }
    }
  }
}

// The sums of tokens × the rows of a tile, between panels.
using Sums = int32_t[kTokensAtOnce][kTileRows];

// Adds `num_vectors` of the panel for tokens [m, m + kTokens) of `sums`; `values` are theirs at the
// panel's first column.
template <size_t kTokens, size_t kGroups>
void AddPanel(const Panel& panel, size_t num_vectors, const int8_t* values, size_t stride,
              Sums& sums, size_t m) {
  for (size_t first = 0; first < kTileGroups; first += kGroups) {
    const uint8_t* from[kGroups];
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      from[group] = panel.codes[first + group][0];
    }
    __m256i narrow[kTokens][kGroups];
    SetZero(narrow);
    for (size_t i = 0; i < num_vectors; ++i) {
      __m256i codes[kGroups];
#pragma GCC unroll 4
      for (size_t group = 0; group < kGroups; ++group) {
        codes[group] = LoadVector(from[group] + i * kVectorBytes);
      }
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; ++t) {
        const __m256i four = BroadcastFour(values + t * stride + i * 4);
#pragma GCC unroll 4
        for (size_t group = 0; group < kGroups; ++group) {
          MultiplyAdd(narrow[t][group], codes[group], four);
        }
      }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (size_t group = 0; group < kGroups; ++group) {
        int32_t* sum = sums[m + t] + (first + group) * kGroupRows;
        StoreVector(_mm256_add_epi32(LoadVector(sum), Wide(narrow[t][group])), sum);
      }
    }
  }
}

using AddPanelFunction = void (*)(const Panel&, size_t, const int8_t*, size_t, Sums&, size_t);
constexpr AddPanelFunction kAddPanel[] = {AddPanel<1, 4>, AddPanel<2, 4>, AddPanel<3, 2>,
                                          AddPanel<4, 2>, AddPanel<5, 2>, AddPanel<6, 2>};

// Tokens [begin, end), at most kTokensAtOnce, × one tile.
inline void MultiplyPanels(const TernaryMatrix& w, const Int8Rows& x, size_t begin, size_t end,
                           size_t tile, float* out, size_t out_stride) {
  const size_t num_tokens = end - begin;
  const size_t num_blocks = (num_tokens + kMaxTokens - 1) / kMaxTokens;
  const size_t num_lines = x.stride / 16;
  const uint8_t* lines = w.packed + tile * num_lines * kLineBytes;
  alignas(64) Sums sums;
  for (size_t t = 0; t < num_tokens; ++t) {
    for (size_t group = 0; group < kTileGroups; ++group) {
      StoreVector(_mm256_set1_epi32(-x.sums[begin + t]), sums[t] + group * kGroupRows);
    }
  }
  Panel panel;
  for (size_t line = 0; line < num_lines; line += kLinesAtOnce) {
    const size_t count = num_lines - line < kLinesAtOnce ? num_lines - line : kLinesAtOnce;
    Unpack(lines + line * kLineBytes, count, panel);
    const int8_t* values = x.values + begin * x.stride + line * 16;
    for (size_t block = 0; block < num_blocks; ++block) {
      const size_t m = num_tokens * block / num_blocks;
      const size_t m_end = num_tokens * (block + 1) / num_blocks;
      kAddPanel[m_end - m - 1](panel, 4 * count, values + m * x.stride, x.stride, sums, m);
    }
  }
  for (size_t t = 0; t < num_tokens; ++t) {
    for (size_t n = tile * kTileRows; n < w.rows && n < (tile + 1) * kTileRows; n += kGroupRows) {
      StoreGroup(LoadVector(sums[t] + n % kTileRows), x.scales[begin + t], w.row_scales + n,
                 w.rows - n, out + (begin + t) * out_stride + n);
    }
  }
}

void TwoBitGemm(const TernaryMatrix* w, const Int8Rows* x, size_t tile_begin, size_t tile_end,
                float* out, size_t out_stride) {
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    if (x->num_rows <= kMaxFewTokens) {
      kFewTokens[x->num_rows - 1](*w, *x, tile, out, out_stride);
      continue;
    }
    ForStretches(x->num_rows, kTokensAtOnce, [&](size_t begin, size_t end) {
      MultiplyPanels(*w, *x, begin, end, tile, out, out_stride);
    });
  }
}

constexpr TernaryPacking kTwoBitPacking = {.name = "2bit",
                                           .bytes = TernaryBytes,
                                           .pack = TernaryPack,
                                           .gemm = TwoBitGemm,
                                           .is_tiles = true};

}  // namespace
}  // namespace tercet
