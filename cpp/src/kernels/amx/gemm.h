// What both products of AMX share: two tiles of activations × two of weights.
//
// A tile of activations is 16 tokens × 64 columns as they lie in memory, signed bytes. A tile of
// weights is 16 rows of the matrix × 64 columns, unsigned bytes, four consecutive columns of each
// row side by side: what VPDPBUSD wants too, so that packing is the same. Their product is 16
// tokens × 16 rows of 32-bit sums. Two of each give four products for four loads.
//
// Where the number of tokens is no multiple of 16, the last tile begins earlier and computes some
// tokens again, to the same numbers: one configuration serves all of a product.
#pragma once

#include "kernels/avx512/gemm.h"

namespace tercet {
namespace {

constexpr size_t kTileTokens = 16;
constexpr size_t kTileColumns = 64;
// Bytes of kTileRows × kTileColumns weights.
constexpr size_t kStepBytes = kTileRows * kTileColumns;

// Which tile is what: sums of tokens i and rows j in 2 i + j, activations in 4 and 5, weights in 6
// and 7.
constexpr int kActivations = 4;
constexpr int kWeights = 6;
constexpr size_t kNumTiles = 8;

// Tokens of a product as tiles: equally many, at most 16, in each.
struct TokenTiles {
  size_t num_tokens;
  size_t tile_tokens;

  explicit TokenTiles(size_t tokens)
      : num_tokens(tokens), tile_tokens(tokens < kTileTokens ? tokens : kTileTokens) {}
  size_t count() const { return (num_tokens + kTileTokens - 1) / kTileTokens; }
  size_t first_token(size_t tile) const {
    const size_t last = num_tokens - tile_tokens;
    return tile * kTileTokens < last ? tile * kTileTokens : last;
  }
};

// At the beginning of each product, with ReleaseTiles at its end: nobody else is trusted to have
// left the thread's configuration as it was, and a thread without tiles is switched faster.
inline void ConfigureTilesFor(const TokenTiles& tokens) {
  TileConfig config = {};
  config.palette = 1;
  for (size_t i = 0; i < kNumTiles; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = i < kWeights ? static_cast<uint8_t>(tokens.tile_tokens) : uint8_t{16};
  }
  ConfigureTiles(config);
}

// 32-bit sums of a tile of tokens × the rows of a packed tile.
using TileSums = int32_t[kTileTokens][kTileRows];
constexpr size_t kSumsStride = sizeof(int32_t) * kTileRows;

// Weights of 32 rows × 64 columns, then of the next 64 columns: where the first group's are, how
// far its vectors lie apart, and how far the second group's are from the first's.
struct WeightSteps {
  const uint8_t* first;
  size_t vector_stride;
  size_t group_offset;
};

// sums[i] = (kAdd: sums[i] +) activations[i] × weights, over `num_steps` times 64 columns.
template <size_t kCount, bool kPrefetch>
inline void MultiplySteps(const WeightSteps& weights, const uint8_t* const (&activations)[kCount],
                          size_t stride, size_t num_steps, bool add,
                          TileSums* const (&sums)[kCount]) {
  static_assert(kCount == 1 || kCount == 2);
  if (add) {
    LoadTile<0>((*sums[0])[0], kSumsStride);
    LoadTile<1>((*sums[0])[0] + kGroupRows, kSumsStride);
    if constexpr (kCount == 2) {
      LoadTile<2>((*sums[1])[0], kSumsStride);
      LoadTile<3>((*sums[1])[0] + kGroupRows, kSumsStride);
    }
  } else {
    ZeroTile<0>();
    ZeroTile<1>();
    ZeroTile<2>();
    ZeroTile<3>();
  }
  for (size_t step = 0; step < num_steps; ++step) {
    const uint8_t* from = weights.first + step * kStepBytes;
    if constexpr (kPrefetch) {
      for (size_t i = 0; i < kStepBytes; i += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(from) + kPrefetchBytes + i, _MM_HINT_T0);
      }
    }
    LoadTile<kActivations>(activations[0] + step * kTileColumns, stride);
    LoadTile<kWeights>(from, weights.vector_stride);
    MultiplyAddTiles<0, kActivations, kWeights>();
    LoadTile<kWeights + 1>(from + weights.group_offset, weights.vector_stride);
    MultiplyAddTiles<1, kActivations, kWeights + 1>();
    if constexpr (kCount == 2) {
      LoadTile<kActivations + 1>(activations[1] + step * kTileColumns, stride);
      MultiplyAddTiles<2, kActivations + 1, kWeights>();
      MultiplyAddTiles<3, kActivations + 1, kWeights + 1>();
    }
  }
  StoreTile<0>((*sums[0])[0], kSumsStride);
  StoreTile<1>((*sums[0])[0] + kGroupRows, kSumsStride);
  if constexpr (kCount == 2) {
    StoreTile<2>((*sums[1])[0], kSumsStride);
    StoreTile<3>((*sums[1])[0] + kGroupRows, kSumsStride);
  }
}

}  // namespace
}  // namespace tercet
