// Ternary weights with a scale for every group of columns × int8 activations of many tokens by AMX.
//
// A group of a tile of 32 rows is unpacked to bytes, at most 8 KB that stay in L1 while up to 256
// tokens pass. The integer sums of two tiles of tokens are stored at its end, become floats, are
// scaled by what the rows and the tokens have for the group, and join results that wait in memory.
// The packings are those of ternary.h.
#pragma once

#include "kernels/amx/ternary.h"
#include "kernels/avx512/grouped.h"

namespace tercet {
namespace {

// The results of a tile of tokens × the rows of a packed tile, before the rows' own scales.
using TileTotals = float[kTileTokens][kTileRows];

// totals += float(sums - the tokens' sums) * (scales * the tokens' scales), for group g of the
// columns and `num_tokens` from m on.
inline void AddScaled(const GroupedRows& x, size_t g, size_t m, size_t num_tokens,
                      const Floats (&scales)[kGroups], const TileSums& sums, TileTotals& totals) {
  for (size_t t = 0; t < num_tokens; ++t) {
    const size_t place = (m + t) * x.num_groups + g;
    const __m512i taken_off = _mm512_set1_epi32(x.sums[place]);
    const Floats scale = Broadcast(x.scales[place]);
#pragma GCC unroll 2
    for (size_t v = 0; v < kGroups; ++v) {
      const __m512i sum = _mm512_loadu_si512(sums[t] + v * kGroupRows);
      float* total = totals[t] + v * kGroupRows;
      Store(Fma(ToFloats({_mm512_sub_epi32(sum, taken_off)}), Mul(scales[v], scale), Load(total)),
            total);
    }
  }
}

inline void StoreTotals(const GroupedMatrix& w, const TileTotals& totals, size_t m,
                        size_t num_tokens, size_t tile, float* out, size_t out_stride) {
  for (size_t v = 0; v < kGroups; ++v) {
    const size_t n = tile * kTileRows + v * kGroupRows;
    if (n >= w.rows) {
      return;
    }
    const Floats row_scales = Load(w.row_scales + n);
    for (size_t t = 0; t < num_tokens; ++t) {
      StoreRows(Mul(Load(totals[t] + v * kGroupRows), row_scales), w.rows - n,
                out + (m + t) * out_stride + n);
    }
  }
}

// Tiles of tokens [begin, end), at most kTokenTilesAtOnce, × one tile of rows.
template <class Unpacker>
void MultiplyGroupedTokenTiles(const GroupedMatrix& w, const GroupedRows& x,
                               const TokenTiles& tokens, size_t begin, size_t end, size_t tile,
                               float* out, size_t out_stride) {
  using Lines = typename Unpacker::Lines;
  static_assert(kMaxGroup % kTileColumns == 0);
  alignas(64) uint8_t codes[kMaxGroup / kTileColumns * kStepBytes];
  alignas(64) TileSums sums[2];
  alignas(64) TileTotals totals[kTokenTilesAtOnce];
  memset(totals, 0, (end - begin) * sizeof *totals);
  const auto* values = reinterpret_cast<const uint8_t*>(x.values);
  const size_t num_steps = w.group / kTileColumns;
  const size_t group_bytes = GroupBytes(w.group, Lines::kColumns);
  const uint8_t* bytes = w.packed + tile * x.num_groups * group_bytes;
  const WeightSteps weights{.first = codes, .vector_stride = 64, .group_offset = kStepBytes / 2};
  for (size_t g = 0; g < x.num_groups; ++g, bytes += group_bytes) {
    Unpacker::UnpackLines(bytes + kGroupScaleBytes, Lines::NumLines(w.group), num_steps, codes);
    const Floats scales[kGroups] = {LoadScales(bytes),
                                    LoadScales(bytes + kGroupRows * sizeof(uint16_t))};
    const auto activations = [&](size_t i) {
      return values + tokens.first_token(i) * x.stride + g * w.group;
    };
    const auto add = [&](size_t i, const TileSums& of) {
      AddScaled(x, g, tokens.first_token(i), tokens.tile_tokens, scales, of, totals[i - begin]);
    };
    size_t i = begin;
    for (; i + 2 <= end; i += 2) {
      MultiplySteps<2, false>(weights, {activations(i), activations(i + 1)}, x.stride, num_steps,
                              false, {&sums[0], &sums[1]});
      add(i, sums[0]);
      add(i + 1, sums[1]);
    }
    if (i < end) {
      MultiplySteps<1, false>(weights, {activations(i)}, x.stride, num_steps, false, {&sums[0]});
      add(i, sums[0]);
    }
  }
  for (size_t i = begin; i < end; ++i) {
    StoreTotals(w, totals[i - begin], tokens.first_token(i), tokens.tile_tokens, tile, out,
                out_stride);
  }
}

template <class Unpacker>
void GroupedTilesGemm(const GroupedMatrix* w, const GroupedRows* x, size_t tile_begin,
                      size_t tile_end, float* out, size_t out_stride) {
  if (x->num_rows <= kMaxFewTokens) {
    GroupedGemm<typename Unpacker::Lines>(w, x, tile_begin, tile_end, out, out_stride);
    return;
  }
  ForTokenTiles(x->num_rows, tile_begin, tile_end,
                [&](const TokenTiles& tokens, size_t begin, size_t end, size_t tile) {
                  MultiplyGroupedTokenTiles<Unpacker>(*w, *x, tokens, begin, end, tile, out,
                                                      out_stride);
                });
}

}  // namespace
}  // namespace tercet
