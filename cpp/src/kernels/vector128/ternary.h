// Rows with one scale: the packing of ternary weights, for 128-bit sets. Included after a panel.
#pragma once

#include "kernels/generic/pack.h"
#include "kernels/vector128/two_bit.h"

namespace tercet {
namespace {

// Tokens [begin, end), at most kTokensAtOnce, × one tile.
inline void MultiplyPanels(const TernaryMatrix& w, const Int8Rows& x, size_t begin, size_t end,
                           size_t tile, float* out, size_t out_stride) {
  const size_t num_lines = x.stride / 16;
  const uint8_t* lines = w.packed + tile * num_lines * kLineBytes;
  alignas(64) RowSums sums[kTokensAtOnce];
  for (size_t t = begin; t < end; ++t) {
    BeginSums(-x.sums[t], sums[t - begin]);
  }
  Panel panel;
  for (size_t line = 0; line < num_lines; line += kLinesAtOnce) {
    const size_t count = num_lines - line < kLinesAtOnce ? num_lines - line : kLinesAtOnce;
    Unpack(lines + line * kLineBytes, count, panel);
    AddPanel(panel, count, x.values + begin * x.stride + line * 16, x.stride, end - begin, sums);
  }
  const size_t n = tile * kTileRows;
  for (size_t t = begin; t < end; ++t) {
    StoreTile(sums[t - begin], x.scales[t], w.row_scales + n, w.rows - n, out + t * out_stride + n);
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

constexpr TernaryPacking kPackings[] = {{.name = "2bit",
                                         .bytes = TernaryBytes,
                                         .pack = TernaryPack,
                                         .gemm = TwoBitGemm,
                                         .is_tiles = true}};

}  // namespace
}  // namespace tercet
