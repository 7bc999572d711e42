// The eight tiles of AMX: 16 rows of 64 bytes each, after a configuration has said how many are
// used.
//
// Only these functions touch them, so that a test can put others in their place (tests/cpp,
// tiles_emulated.h). They are written as assembly because the intrinsics of GCC 12 tell the
// compiler neither that a configuration is 64 bytes long nor that a tile is read from memory: it
// may then move or drop the stores that made them.
//
// The compiler knows nothing of tiles and keeps nothing in them: what is in a tile stays there
// until the next of these functions, as nothing else between a configuration and its release uses
// any.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace tercet {
namespace {

// What LDTILECFG reads.
struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

// All tiles are zero afterwards, and the operating system saves them at a task switch.
inline void ConfigureTiles(const TileConfig& config) {
  __asm__ volatile("ldtilecfg %0" ::"m"(config) : "memory");
}

// There are no tiles any more, and nothing to save.
inline void ReleaseTiles() { __asm__ volatile("tilerelease" ::: "memory"); }

template <int kTile>
inline void ZeroTile() {
  __asm__ volatile("tilezero %%tmm%c0" ::"i"(kTile));
}

// Row r of a tile is at memory + r * stride, in bytes.
template <int kTile>
inline void LoadTile(const void* memory, size_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(memory), "r"(stride), "i"(kTile)
                   : "memory");
}

template <int kTile>
inline void StoreTile(void* memory, size_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(memory), "r"(stride), "i"(kTile)
                   : "memory");
}

// sums[m][n] += sum over k of signed_bytes[m][k] * unsigned_bytes[k / 4][4 n + k % 4], modulo 2^32.
template <int kSums, int kSignedBytes, int kUnsignedBytes>
inline void MultiplyAddTiles() {
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kSignedBytes),
                   "i"(kUnsignedBytes));
}

}  // namespace
}  // namespace tercet
