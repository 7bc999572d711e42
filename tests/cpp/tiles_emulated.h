// The eight tiles of AMX in memory, after Intel's manual (SDM volume 2: LDTILECFG, TILELOADD,
// TILESTORED, TDPBSUD), for machines without them. What the CPU would refuse with #GP or #UD traps
// here too; what it leaves open is filled with rubbish.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace tercet {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

struct EmulatedTile {
  uint8_t bytes[16][64];
};

struct EmulatedTiles {
  bool configured = false;
  TileConfig config = {};
  EmulatedTile tiles[8] = {};
};

// A thread has its own, as a thread's state has.
inline EmulatedTiles& CurrentTiles() {
  static thread_local EmulatedTiles tiles;
  return tiles;
}

inline void Require(bool condition) {
  if (!condition) {
    __builtin_trap();
  }
}

inline void ConfigureTiles(const TileConfig& config) {
  Require(config.palette == 1 && config.start_row == 0);
  for (const uint8_t byte : config.reserved) {
    Require(byte == 0);
  }
  for (size_t i = 0; i < 16; ++i) {
    Require(config.rows[i] <= (i < 8 ? 16 : 0) && config.row_bytes[i] <= (i < 8 ? 64 : 0));
    Require((config.rows[i] == 0) == (config.row_bytes[i] == 0));
  }
  EmulatedTiles& state = CurrentTiles();
  state.configured = true;
  state.config = config;
  memset(state.tiles, 0, sizeof state.tiles);
}

// The next product configures anew: what was in the tiles must not matter.
inline void ReleaseTiles() {
  EmulatedTiles& state = CurrentTiles();
  state.configured = false;
  memset(state.tiles, 0xEE, sizeof state.tiles);
}

inline EmulatedTile& UsableTile(size_t tile) {
  EmulatedTiles& state = CurrentTiles();
  Require(state.configured && tile < 8 && state.config.rows[tile] > 0);
  return state.tiles[tile];
}

template <int kTile>
inline void ZeroTile() {
  memset(&UsableTile(kTile), 0, sizeof(EmulatedTile));
}

// Rows and bytes of rows past the configured ones become zero.
template <int kTile>
inline void LoadTile(const void* memory, size_t stride) {
  EmulatedTile& tile = UsableTile(kTile);
  const TileConfig& config = CurrentTiles().config;
  memset(&tile, 0, sizeof tile);
  for (size_t row = 0; row < config.rows[kTile]; ++row) {
    memcpy(tile.bytes[row], static_cast<const uint8_t*>(memory) + row * stride,
           config.row_bytes[kTile]);
  }
}

template <int kTile>
inline void StoreTile(void* memory, size_t stride) {
  const EmulatedTile& tile = UsableTile(kTile);
  const TileConfig& config = CurrentTiles().config;
  for (size_t row = 0; row < config.rows[kTile]; ++row) {
    memcpy(static_cast<uint8_t*>(memory) + row * stride, tile.bytes[row], config.row_bytes[kTile]);
  }
}

// TDPBSUD sums, a, b.
template <int kSums, int kSignedBytes, int kUnsignedBytes>
inline void MultiplyAddTiles() {
  static_assert(kSums != kSignedBytes && kSums != kUnsignedBytes && kSignedBytes != kUnsignedBytes);
  const TileConfig& config = CurrentTiles().config;
  EmulatedTile& sums = UsableTile(kSums);
  const EmulatedTile& a = UsableTile(kSignedBytes);
  const EmulatedTile& b = UsableTile(kUnsignedBytes);
  Require(config.row_bytes[kSums] % 4 == 0 && config.row_bytes[kSignedBytes] % 4 == 0);
  Require(config.rows[kSignedBytes] == config.rows[kSums]);
  Require(config.rows[kUnsignedBytes] == config.row_bytes[kSignedBytes] / 4);
  Require(config.row_bytes[kUnsignedBytes] == config.row_bytes[kSums]);
  for (size_t m = 0; m < config.rows[kSums]; ++m) {
    for (size_t n = 0; n < config.row_bytes[kSums] / 4u; ++n) {
      uint32_t sum = 0;
      memcpy(&sum, sums.bytes[m] + 4 * n, sizeof sum);
      for (size_t k = 0; k < config.row_bytes[kSignedBytes]; ++k) {
        const int32_t left = static_cast<int8_t>(a.bytes[m][k]);
        const int32_t right = b.bytes[k / 4][4 * n + k % 4];
        sum += static_cast<uint32_t>(left * right);
      }
      memcpy(sums.bytes[m] + 4 * n, &sum, sizeof sum);
    }
  }
}

}  // namespace
}  // namespace tercet
