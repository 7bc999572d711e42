// Ternary weights with a scale for every group of columns, for AVX-512 with VNNI.
//
// Within a group the products are those over a packing's lines (gemm.h), of which the last may be
// filled in part. At its end the integer sums become floats, are scaled by what the rows and the
// token have for the group, and join the rows' results: a handful of instructions beside the
// operands of the group's lines. The sums of floats are written to memory there, where many tokens
// leave no registers for them.
#pragma once

#include "kernels/avx512/two_bit.h"

namespace tercet {
namespace {

// Asks for what follows as LoadLine does: every line of memory is then asked for once.
inline Floats LoadScales(const uint8_t* from) {
  _mm_prefetch(reinterpret_cast<const char*>(from) + kPrefetchBytes, _MM_HINT_T0);
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)))};
}

// A tile is [group]: the scales of its 32 rows, 64 bytes, and the lines of the group's columns.
template <class Lines>
struct Grouped {
  using Matrix = GroupedMatrix;
  using Rows = GroupedRows;

  template <size_t kTokens, size_t kTiles>
  static void MultiplyTiles(const GroupedMatrix& w, const GroupedRows& x, size_t m,
                            const size_t* tiles, float* out, size_t out_stride) {
    constexpr size_t kVectors = kTiles * kGroups;
    const size_t num_full = w.group / Lines::kColumns;
    const size_t group_bytes = GroupBytes(w.group, Lines::kColumns);
    const uint8_t* tile_bytes[kTiles];
    for (size_t tile = 0; tile < kTiles; ++tile) {
      tile_bytes[tile] = w.packed + tiles[tile] * x.num_groups * group_bytes;
    }
    Floats totals[kTokens][kVectors];
#pragma GCC unroll 8
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
        scales[v] = LoadScales(bytes + v % kGroups * kGroupRows * sizeof(uint16_t));
        lines[v] = bytes + kGroupScaleBytes + v % kGroups * 64;
#pragma GCC unroll 8
        for (size_t t = 0; t < kTokens; ++t) {
          sums[t][v] = _mm512_set1_epi32(-x.sums[(m + t) * x.num_groups + g]);
        }
      }
      for (size_t line = 0; line < num_full; ++line) {
        AddLine<Lines>(lines, line, Lines::kOperands, values + line * Lines::kColumns, x.stride,
                       sums);
      }
      if constexpr (kColumnAlign % Lines::kColumns != 0) {
        AddLine<Lines>(lines, num_full, w.group % Lines::kColumns / 4,
                       values + num_full * Lines::kColumns, x.stride, sums);
      }
#pragma GCC unroll 8
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
        StoreRows(Mul(totals[t][v], row_scales), w.rows - n, out + (m + t) * out_stride + n);
      }
    }
  }
};

// For 1, 2, 3 ... tokens. Sums for more would fit as well, but what a group's end adds to them not:
// GCC 12 moves them about, and halves of such a block are faster.
template <class Lines>
constexpr TokensFunction<Grouped<Lines>> kGroupedTokens[] = {
    MultiplyTokens<Grouped<Lines>, 1, 2>, MultiplyTokens<Grouped<Lines>, 2, 2>,
    MultiplyTokens<Grouped<Lines>, 3, 2>, MultiplyTokens<Grouped<Lines>, 4, 2>,
    MultiplyTokens<Grouped<Lines>, 5, 1>, MultiplyTokens<Grouped<Lines>, 6, 1>,
    MultiplyTokens<Grouped<Lines>, 7, 1>, MultiplyTokens<Grouped<Lines>, 8, 1>,
};

template <class Lines>
void GroupedGemm(const GroupedMatrix* w, const GroupedRows* x, size_t tile_begin, size_t tile_end,
                 float* out, size_t out_stride) {
  Gemm(kGroupedTokens<Lines>, *w, *x, tile_begin, tile_end, out, out_stride);
}

constexpr GroupedPacking kGroupedTwoBitPacking = {.name = "2bit",
                                                  .bytes = GroupedTernaryBytes,
                                                  .pack = GroupedTernaryPack,
                                                  .gemm = GroupedGemm<TwoBit>,
                                                  .is_tiles = true};

}  // namespace
}  // namespace tercet
