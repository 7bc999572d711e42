// A kernel set for AMX: AVX-512's, but for the ternary products of more than a few tokens. The
// including file supplies the tiles first.
#pragma once

#include "kernels/avx512/grouped.h"
#include "kernels/avx512/set.h"
// The set below comes first: what is here is written over it.
#include "kernels/amx/five_in_eight.h"
#include "kernels/amx/two_bit.h"

namespace tercet {
namespace {

constexpr TernaryPacking kTilesPackings[] = {kTwoBitTilesPacking, kFiveInEightTilesPacking};
constexpr GroupedPacking kGroupedTilesPackings[] = {kGroupedTwoBitPacking};

constexpr uint32_t kBesideTiles = kAvx512VnniFeatures | kAvx512Vbmi;

constexpr Kernels AmxSet(const char* name, uint32_t required) {
  return SetOf(name, required, kTilesPackings, kGroupedTilesPackings);
}

}  // namespace
}  // namespace tercet
