// Ternary weights × int8 activations of many tokens by AMX.
//
// Up to 1,280 columns of a tile of 32 rows are unpacked to bytes, 40 KB that stay in L1 while up to
// 256 tokens pass; their sums wait in memory while the next columns are unpacked. A packing is what
// `Unpacker` is of, and its product for a few tokens, whom unpacking would not pay for:
//
//   // Codes of tile `tile`, columns [64 * step, 64 * (step + num_steps)), padding included:
//   // a byte each, [step][group][16][64 bytes], four columns of a row side by side. `step` is a
//   // multiple of kStepsAtOnce, `num_steps` at most that.
//   static void Unpack(const TernaryMatrix&, size_t tile, size_t stride, size_t step,
//                      size_t num_steps, uint8_t* codes);
//
//   // The same from a tile's line on, where a step or a group (grouped.h) begins; `num_lines` are
//   // there, perhaps fewer than the steps have columns for.
//   static void UnpackLines(const uint8_t* lines, size_t num_lines, size_t num_steps,
//                           uint8_t* codes);
//
//   using Lines = ...;  // how AVX-512 reads the packing's lines (avx512/gemm.h)
#pragma once

#include "kernels/amx/gemm.h"

namespace tercet {
namespace {

constexpr size_t kMaxFewTokens = 4;
constexpr size_t kStepsAtOnce = 20;
constexpr size_t kTokenTilesAtOnce = 16;

// Calls body(tokens, begin, end, tile) with the tiles configured, for every tile of rows and
// stretches of tiles of tokens, at most kTokenTilesAtOnce.
template <class Body>
inline void ForTokenTiles(size_t num_tokens, size_t tile_begin, size_t tile_end, Body body) {
  const TokenTiles tokens(num_tokens);
  ConfigureTilesFor(tokens);
  const size_t num_stretches = (tokens.count() + kTokenTilesAtOnce - 1) / kTokenTilesAtOnce;
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    for (size_t i = 0; i < num_stretches; ++i) {
      body(tokens, tokens.count() * i / num_stretches, tokens.count() * (i + 1) / num_stretches,
           tile);
    }
  }
  ReleaseTiles();
}

// out = float(sums - the tokens' sums) * (scales * row_scales).
inline void StoreTernary(const TernaryMatrix& w, const Int8Rows& x, const TileSums& sums, size_t m,
                         size_t num_tokens, size_t tile, float* out, size_t out_stride) {
  for (size_t t = 0; t < num_tokens; ++t) {
    const __m512i taken_off = _mm512_set1_epi32(x.sums[m + t]);
    for (size_t group = 0; group < kGroups; ++group) {
      const size_t n = tile * kTileRows + group * kGroupRows;
      if (n < w.rows) {
        const __m512i sum = _mm512_loadu_si512(sums[t] + group * kGroupRows);
        StoreGroup(_mm512_sub_epi32(sum, taken_off), x.scales[m + t], w.row_scales + n, w.rows - n,
                   out + (m + t) * out_stride + n);
      }
    }
  }
}

// Tiles of tokens [begin, end), at most kTokenTilesAtOnce, × one tile of rows.
template <class Unpacker>
void MultiplyTokenTiles(const TernaryMatrix& w, const Int8Rows& x, const TokenTiles& tokens,
                        size_t begin, size_t end, size_t tile, float* out, size_t out_stride) {
  alignas(64) uint8_t codes[kStepsAtOnce * kStepBytes];
  alignas(64) TileSums sums[kTokenTilesAtOnce];
  const auto* values = reinterpret_cast<const uint8_t*>(x.values);
  const size_t num_steps = x.stride / kTileColumns;
  for (size_t step = 0; step < num_steps; step += kStepsAtOnce) {
    const size_t count = num_steps - step < kStepsAtOnce ? num_steps - step : kStepsAtOnce;
    Unpacker::Unpack(w, tile, x.stride, step, count, codes);
    const WeightSteps weights{.first = codes, .vector_stride = 64, .group_offset = kStepBytes / 2};
    const auto activations = [&](size_t i) {
      return values + tokens.first_token(i) * x.stride + step * kTileColumns;
    };
    size_t i = begin;
    for (; i + 2 <= end; i += 2) {
      MultiplySteps<2, false>(weights, {activations(i), activations(i + 1)}, x.stride, count,
                              step > 0, {&sums[i - begin], &sums[i + 1 - begin]});
    }
    if (i < end) {
      MultiplySteps<1, false>(weights, {activations(i)}, x.stride, count, step > 0,
                              {&sums[i - begin]});
    }
  }
  for (size_t i = begin; i < end; ++i) {
    StoreTernary(w, x, sums[i - begin], tokens.first_token(i), tokens.tile_tokens, tile, out,
                 out_stride);
  }
}

template <class Unpacker>
void TernaryTilesGemm(const TernaryMatrix* w, const Int8Rows* x, size_t tile_begin, size_t tile_end,
                      float* out, size_t out_stride) {
  if (x->num_rows <= kMaxFewTokens) {
    Unpacker::kFewTokensGemm(w, x, tile_begin, tile_end, out, out_stride);
    return;
  }
  ForTokenTiles(x->num_rows, tile_begin, tile_end,
                [&](const TokenTiles& tokens, size_t begin, size_t end, size_t tile) {
                  MultiplyTokenTiles<Unpacker>(*w, *x, tokens, begin, end, tile, out, out_stride);
                });
}

}  // namespace
}  // namespace tercet
