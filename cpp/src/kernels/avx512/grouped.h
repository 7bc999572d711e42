// Ternary weights at 2 bits with a scale for every group of columns, for AVX-512 with VNNI.
//
// Within a group the products are those of two_bit.h. At its end the integer sums become floats,
// are scaled by what the rows and the token have for the group, and join the rows' results: a
// handful of instructions beside the group's 4 operands a line. The sums of floats are written to
// memory there, where many tokens leave no registers for them.
#pragma once

#include "kernels/avx512/gemm.h"
#include "kernels/generic/pack.h"

namespace tercet {
namespace {

inline Floats LoadScales(const uint8_t* from) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)))};
}

struct GroupedTwoBit {
  using Matrix = GroupedMatrix;
  using Rows = GroupedRows;

  template <size_t kTokens, size_t kTiles>
  static void MultiplyTiles(const GroupedMatrix& w, const GroupedRows& x, size_t m,
                            const size_t* tiles, float* out, size_t out_stride) {
    constexpr size_t kVectors = kTiles * kGroups;
    const size_t group_bytes = GroupBytes(w.group);
    const size_t num_lines = w.group / 16;
    const __m512i mask = _mm512_set1_epi8(3);
    const uint8_t* tile_bytes[kTiles];
    for (size_t tile = 0; tile < kTiles; ++tile) {
      tile_bytes[tile] = w.packed + tiles[tile] * x.num_groups * group_bytes;
    }
    Floats totals[kTokens][kVectors];
#pragma GCC unroll 12
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        totals[t][v] = Broadcast(0.0f);
      }
    }
    for (size_t g = 0; g < x.num_groups; ++g) {
      const int8_t* values = x.values + m * x.stride + g * w.group;
      const uint8_t* lines[kVectors];
      Floats scales[kVectors];
      __m512i sums[kTokens][kVectors];
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        const uint8_t* bytes = tile_bytes[v / kGroups] + g * group_bytes;
        scales[v] = LoadScales(bytes + v % kGroups * (kGroupScaleBytes / kGroups));
        lines[v] = bytes + kGroupScaleBytes + v % kGroups * 64;
#pragma GCC unroll 12
        for (size_t t = 0; t < kTokens; ++t) {
          sums[t][v] = _mm512_set1_epi32(-x.sums[(m + t) * x.num_groups + g]);
        }
      }
      for (size_t line = 0; line < num_lines; ++line) {
        __m512i packed[kVectors];
#pragma GCC unroll 8
        for (size_t v = 0; v < kVectors; ++v) {
          packed[v] = LoadLine(lines[v] + line * kLineBytes);
        }
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; ++j) {
          __m512i codes[kVectors];
#pragma GCC unroll 8
          for (size_t v = 0; v < kVectors; ++v) {
            codes[v] = _mm512_and_si512(packed[v], mask);
            packed[v] = _mm512_srli_epi16(packed[v], 2);
          }
#pragma GCC unroll 12
          for (size_t t = 0; t < kTokens; ++t) {
            const __m512i four = BroadcastFour(values + t * x.stride + line * 16 + j * 4);
#pragma GCC unroll 8
            for (size_t v = 0; v < kVectors; ++v) {
              sums[t][v] = DotProduct(sums[t][v], codes[v], four);
            }
          }
        }
      }
#pragma GCC unroll 12
      for (size_t t = 0; t < kTokens; ++t) {
        const Floats scale = Broadcast(x.scales[(m + t) * x.num_groups + g]);
#pragma GCC unroll 8
        for (size_t v = 0; v < kVectors; ++v) {
          totals[t][v] = Fma(ToFloats({sums[t][v]}), Mul(scales[v], scale), totals[t][v]);
        }
      }
    }
    StoreTotals(w, m, tiles, totals, out, out_stride);
  }

  template <size_t kTokens, size_t kVectors>
  static void StoreTotals(const GroupedMatrix& w, size_t m, const size_t* tiles,
                          const Floats (&totals)[kTokens][kVectors], float* out,
                          size_t out_stride) {
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t n = tiles[v / kGroups] * kTileRows + v % kGroups * kGroupRows;
      if (n >= w.rows) {
        continue;
      }
      const Floats row_scales = Load(w.row_scales + n);
      for (size_t t = 0; t < kTokens; ++t) {
        const Floats result = Mul(totals[t][v], row_scales);
        float* to = out + (m + t) * out_stride + n;
        if (w.rows - n >= kGroupRows) {
          Store(result, to);
        } else {
          Store(result, to, First{w.rows - n});
        }
      }
    }
  }
};

constexpr TokensFunction<GroupedTwoBit> kGroupedTokens[] = {
    MultiplyTokens<GroupedTwoBit, 1, 2>,  MultiplyTokens<GroupedTwoBit, 2, 2>,
    MultiplyTokens<GroupedTwoBit, 3, 2>,  MultiplyTokens<GroupedTwoBit, 4, 2>,
    MultiplyTokens<GroupedTwoBit, 5, 1>,  MultiplyTokens<GroupedTwoBit, 6, 1>,
    MultiplyTokens<GroupedTwoBit, 7, 1>,  MultiplyTokens<GroupedTwoBit, 8, 1>,
    MultiplyTokens<GroupedTwoBit, 9, 1>,  MultiplyTokens<GroupedTwoBit, 10, 1>,
    MultiplyTokens<GroupedTwoBit, 11, 1>, MultiplyTokens<GroupedTwoBit, 12, 1>,
};

void GroupedTwoBitGemm(const GroupedMatrix* w, const GroupedRows* x, size_t tile_begin,
                       size_t tile_end, float* out, size_t out_stride) {
  Gemm(kGroupedTokens, *w, *x, tile_begin, tile_end, out, out_stride);
}

constexpr GroupedPacking kGroupedTwoBitPacking = {.name = "2bit",
                                                  .bytes = GroupedTernaryBytes,
                                                  .pack = GroupedTernaryPack,
                                                  .gemm = GroupedTwoBitGemm};

}  // namespace
}  // namespace tercet
