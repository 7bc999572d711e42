// Weights at 8 bits for five by AMX: packed as for AVX-512 (avx512/five_in_eight.h).
//
// A line is 20 columns, which end within a step of 64; steps are unpacked from multiples of five,
// where both begin.
#pragma once

#include "kernels/amx/grouped.h"
#include "kernels/amx/ternary.h"
#include "kernels/avx512/grouped_five_in_eight.h"

namespace tercet {
namespace {

struct FiveInEightUnpacker {
  using Lines = FiveInEight;
  static constexpr auto kFewTokensGemm = FiveInEightGemm;

  static void Unpack(const TernaryMatrix& w, size_t tile, size_t, size_t step, size_t num_steps,
                     uint8_t* codes) {
    static_assert(kStepsAtOnce * kTileColumns % FiveInEight::kColumns == 0);
    const size_t tile_lines = FiveInEight::NumLines(w.cols);
    const size_t line = step * kTileColumns / FiveInEight::kColumns;
    UnpackLines(w.packed + (tile * tile_lines + line) * kLineBytes, tile_lines - line, num_steps,
                codes);
  }

  static void UnpackLines(const uint8_t* lines, size_t num_lines, size_t num_steps,
                          uint8_t* codes) {
    constexpr size_t kVectors = kTileColumns / 4;
    const size_t num_vectors = num_steps * kVectors;
    const auto place = [codes](size_t vector, size_t group) {
      return codes + vector / kVectors * kStepBytes + group * (kStepBytes / 2) +
             vector % kVectors * 64;
    };
    size_t line = 0;
    for (size_t vector = 0; vector < num_vectors; vector += FiveInEight::kOperands, ++line) {
      const size_t left = num_vectors - vector;
      const size_t count = left < FiveInEight::kOperands ? left : FiveInEight::kOperands;
      for (size_t group = 0; group < kGroups; ++group) {
        // Activations are padded with zeros to columns that the last line may not reach.
        const bool exists = line < num_lines;
        const FiveInEight::Line bytes = FiveInEight::Begin(
            exists ? LoadLine(lines + line * kLineBytes + group * 64) : _mm512_setzero_si512());
#pragma GCC unroll 5
        for (size_t j = 0; j < FiveInEight::kOperands; ++j) {
          if (j < count) {
            _mm512_storeu_si512(place(vector + j, group), FiveInEight::Operand(bytes, j));
          }
        }
      }
    }
  }
};

constexpr TernaryPacking kFiveInEightTilesPacking = {.name = "5in8",
                                                     .bytes = FiveInEight::Bytes,
                                                     .pack = FiveInEight::Pack,
                                                     .gemm = TernaryTilesGemm<FiveInEightUnpacker>};

constexpr GroupedPacking kGroupedFiveInEightTilesPacking = {
    .name = "5in8",
    .bytes = GroupedFiveInEightBytes,
    .pack = GroupedFiveInEightPack,
    .gemm = GroupedTilesGemm<FiveInEightUnpacker>};

}  // namespace
}  // namespace tercet
