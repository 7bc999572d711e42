// The head by AMX: weights and activations as for AVX-512 (avx512/int8.h), where they lie.
//
// The two tiles of activations are the low and the high bytes of the same tokens.
#pragma once

#include "kernels/amx/ternary.h"
#include "kernels/avx512/int8.h"

namespace tercet {
namespace {

inline void StoreInt8(const Int8Matrix& w, const WideRows& x, const TileSums& low,
                      const TileSums& high, size_t m, size_t num_tokens, size_t tile, float* out,
                      size_t out_stride) {
  for (size_t t = 0; t < num_tokens; ++t) {
    const __m512i taken_off = _mm512_set1_epi32(x.sums[m + t]);
    for (size_t group = 0; group < kGroups; ++group) {
      const size_t n = tile * kTileRows + group * kGroupRows;
      if (n < w.rows) {
        const __m512i low_sum = _mm512_loadu_si512(low[t] + group * kGroupRows);
        const __m512i high_sum = _mm512_loadu_si512(high[t] + group * kGroupRows);
        const __m512i upper = _mm512_slli_epi32(_mm512_sub_epi32(high_sum, taken_off), 7);
        StoreGroup(_mm512_add_epi32(low_sum, upper), x.scales[m + t], w.row_scales + n, w.rows - n,
                   out + (m + t) * out_stride + n);
      }
    }
  }
}

void Int8TilesGemm(const Int8Matrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
                   float* out, size_t out_stride) {
  if (x->num_rows <= kMaxFewTokens) {
    Int8Gemm(w, x, tile_begin, tile_end, out, out_stride);
    return;
  }
  const TokenTiles tokens(x->num_rows);
  ConfigureTilesFor(tokens);
  const size_t plane = x->stride / 2;
  alignas(64) TileSums low;
  alignas(64) TileSums high;
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    const WeightSteps weights{.first = w->packed + tile * kTileRows * plane,
                              .vector_stride = kLineBytes,
                              .group_offset = 64};
    for (size_t i = 0; i < tokens.count(); ++i) {
      const size_t m = tokens.first_token(i);
      const uint8_t* values = x->values + m * x->stride;
      MultiplySteps<2, true>(weights, {values, values + plane}, x->stride, plane / kTileColumns,
                             false, {&low, &high});
      StoreInt8(*w, *x, low, high, m, tokens.tile_tokens, tile, out, out_stride);
    }
  }
  ReleaseTiles();
}

}  // namespace
}  // namespace tercet
