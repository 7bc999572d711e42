// Ternary weights at 2 bits with a scale for every group of columns, for 128-bit sets.
//
// A group is at most 16 lines, one panel: its integer sums become floats at its end and join the
// rows' results, fused, which wait in memory.
#pragma once

#include "kernels/vector128/ternary.h"

namespace tercet {
namespace {

static_assert(kMaxGroup / 16 <= kLinesAtOnce);

// The results of a token × the rows of a tile, before the rows' own scales.
using RowTotals = float[kTileRows];

// totals += float(sums) * (scales * scale), for 16 rows of some tokens at group g.
inline void AddScaled(const RowSums* sums, size_t n, Floats scales, const GroupedRows& x,
                      size_t begin, size_t end, size_t g, RowTotals* totals) {
  for (size_t t = begin; t < end; ++t) {
    float* total = totals[t - begin] + n;
    const Floats both = Mul(scales, Broadcast(x.scales[t * x.num_groups + g]));
    Store(Fma(ToFloats(LoadWords(sums[t - begin] + n)), both, Load(total)), total);
  }
}

using AddLinesFunction = decltype(&AddLines<1>);
constexpr AddLinesFunction kAddLines[kMaxFewTokens] = {AddLines<1>, AddLines<2>, AddLines<3>,
                                                       AddLines<4>};

// Group g of a tile, at `bytes`, for tokens [begin, end).
inline void AddGroup(const uint8_t* bytes, const GroupedMatrix& w, const GroupedRows& x, size_t g,
                     size_t begin, size_t end, RowTotals* totals) {
  alignas(64) RowSums sums[kTokensAtOnce];
  for (size_t t = begin; t < end; ++t) {
    BeginSums(-x.sums[t * x.num_groups + g], sums[t - begin]);
  }
  const int8_t* values = x.values + begin * x.stride + g * w.group;
  const uint8_t* lines = bytes + kGroupScaleBytes;
  const size_t num_lines = w.group / 16;
  if (end - begin <= kMaxFewTokens) {
    kAddLines[end - begin - 1](lines, num_lines, values, x.stride, sums);
  } else {
    Panel panel;
    Unpack(lines, num_lines, panel);
    AddPanel(panel, num_lines, values, x.stride, end - begin, sums);
  }
  for (size_t n = 0; n < kTileRows; n += 16) {
    const Floats scales = LoadHalves(bytes + n * sizeof(uint16_t));
    AddScaled(sums, n, scales, x, begin, end, g, totals);
  }
}

inline void MultiplyGroupedTile(const GroupedMatrix& w, const GroupedRows& x, size_t begin,
                                size_t end, size_t tile, float* out, size_t out_stride) {
  alignas(64) RowTotals totals[kTokensAtOnce];
  memset(totals, 0, (end - begin) * sizeof *totals);
  const uint8_t* bytes = w.packed + tile * x.num_groups * GroupBytes(w.group);
  for (size_t g = 0; g < x.num_groups; ++g, bytes += GroupBytes(w.group)) {
    AddGroup(bytes, w, x, g, begin, end, totals);
  }
  const size_t first = tile * kTileRows;
  for (size_t n = 0; n < kTileRows && first + n < w.rows; n += 16) {
    const Floats row_scales = Load(w.row_scales + first + n);
    for (size_t t = begin; t < end; ++t) {
      StoreRows(Mul(Load(totals[t - begin] + n), row_scales), w.rows - first - n,
                out + t * out_stride + first + n);
    }
  }
}

void GroupedTwoBitGemm(const GroupedMatrix* w, const GroupedRows* x, size_t tile_begin,
                       size_t tile_end, float* out, size_t out_stride) {
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    ForStretches(x->num_rows, kTokensAtOnce, [&](size_t begin, size_t end) {
      MultiplyGroupedTile(*w, *x, begin, end, tile, out, out_stride);
    });
  }
}

constexpr GroupedPacking kGroupedPackings[] = {{.name = "2bit",
                                                .bytes = GroupedTernaryBytes,
                                                .pack = GroupedTernaryPack,
                                                .gemm = GroupedTwoBitGemm,
                                                .is_tiles = true}};

}  // namespace
}  // namespace tercet
