// Weights at 2 bits by AMX: packed as for AVX-512 (generic/pack.h), four lines to 64 columns.
#pragma once

#include "kernels/amx/grouped.h"
#include "kernels/amx/ternary.h"
#include "kernels/avx512/two_bit.h"

namespace tercet {
namespace {

struct TwoBitUnpacker {
  using Lines = TwoBit;
  static constexpr auto kFewTokensGemm = TwoBitGemm;

  // Lines of a step of columns.
  static constexpr size_t kLines = kTileColumns / TwoBit::kColumns;

  static void Unpack(const TernaryMatrix& w, size_t tile, size_t stride, size_t step,
                     size_t num_steps, uint8_t* codes) {
    const size_t tile_lines = stride / TwoBit::kColumns;
    UnpackLines(w.packed + (tile * tile_lines + step * kLines) * kLineBytes, num_steps * kLines,
                num_steps, codes);
  }

  static void UnpackLines(const uint8_t* lines, size_t, size_t num_steps, uint8_t* codes) {
    const __m512i mask = _mm512_set1_epi8(3);
    for (size_t line = 0; line < num_steps * kLines; ++line) {
      for (size_t group = 0; group < kGroups; ++group) {
        __m512i packed = LoadLine(lines + line * kLineBytes + group * 64);
        uint8_t* to =
            codes + line / kLines * kStepBytes + group * (kStepBytes / 2) + line % kLines * 4 * 64;
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; ++j) {
          _mm512_storeu_si512(to + j * 64, _mm512_and_si512(packed, mask));
          packed = _mm512_srli_epi16(packed, 2);
        }
      }
    }
  }
};

constexpr TernaryPacking kTwoBitTilesPacking = {.name = "2bit",
                                                .bytes = TernaryBytes,
                                                .pack = TernaryPack,
                                                .gemm = TernaryTilesGemm<TwoBitUnpacker>,
                                                .is_tiles = true};

constexpr GroupedPacking kGroupedTwoBitTilesPacking = {.name = "2bit",
                                                       .bytes = GroupedTernaryBytes,
                                                       .pack = GroupedTernaryPack,
                                                       .gemm = GroupedTilesGemm<TwoBitUnpacker>,
                                                       .is_tiles = true};

}  // namespace
}  // namespace tercet
