// The head's products for 128-bit sets, over what head.h or a set's own file says of the form in
// which activations are kept and how columns are added: StoreHeadValues, AddHeadColumns, kHeadBias
// and HeadRowSum.
#pragma once

#include "kernels/vector128/gemm.h"

namespace tercet {
namespace {

// Columns whose sums stay in registers: 2 KB of each plane, which L1 holds for all groups of rows.
constexpr size_t kHeadColumnsAtOnce = 2 * kHeadAlign;

// Tokens [m, m + kTokens) × one tile. `out` receives words where only the high plane is read.
template <bool kBoth, size_t kTokens>
void MultiplyHeadTile(const HeadMatrix& w, const WideRows& x, size_t m, size_t tile, float* out,
                      size_t out_stride) {
  RowSums sums[kTokens];
  for (size_t t = 0; t < kTokens; ++t) {
    const uint32_t taken_off = kBoth ? kHeadBias * static_cast<uint32_t>(x.sums[m + t]) : 0u;
    BeginSums(static_cast<int32_t>(0u - taken_off), sums[t]);
  }
  const size_t cols = x.stride / 2;
  for (size_t k = 0; k < cols; k += kHeadColumnsAtOnce) {
    const size_t end = cols - k < kHeadColumnsAtOnce ? cols : k + kHeadColumnsAtOnce;
    AddHeadColumns<kBoth, kTokens>(w, x, m, tile * HeadTileBytes(w.cols), k, end, sums);
  }
  const size_t n = tile * kTileRows;
  const size_t rows_left = w.rows - n;
  for (size_t t = 0; t < kTokens; ++t) {
    float* to = out + (m + t) * out_stride + n;
    if constexpr (kBoth) {
      StoreTile(sums[t], x.scales[m + t], w.row_scales + n, rows_left, to);
    } else {
      memcpy(to, sums[t], (rows_left < kTileRows ? rows_left : kTileRows) * sizeof *to);
    }
  }
}

template <bool kBoth>
constexpr decltype(&MultiplyHeadTile<true, 1>) kHeadTokens[] = {
    MultiplyHeadTile<kBoth, 1>, MultiplyHeadTile<kBoth, 2>, MultiplyHeadTile<kBoth, 3>,
    MultiplyHeadTile<kBoth, 4>};

template <bool kBoth>
inline void HeadProducts(const HeadMatrix& w, const WideRows& x, size_t tile_begin, size_t tile_end,
                         float* out, size_t out_stride) {
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    ForStretches(x.num_rows, 4, [&](size_t begin, size_t end) {
      kHeadTokens<kBoth>[end - begin - 1](w, x, begin, tile, out, out_stride);
    });
  }
}

inline void HeadDots(const HeadMatrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
                     int32_t* out, size_t out_stride) {
  HeadProducts<false>(*w, *x, tile_begin, tile_end, reinterpret_cast<float*>(out), out_stride);
}

inline void HeadGemm(const HeadMatrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
                     float* out, size_t out_stride) {
  HeadProducts<true>(*w, *x, tile_begin, tile_end, out, out_stride);
}

}  // namespace
}  // namespace tercet
