#include "formats/tiles.h"

#include <stdexcept>
#include <string>

#include "formats/blocks.h"
#include "formats/trits.h"
#include "kernels/generic/pack.h"

namespace tercet {
namespace {

constexpr std::size_t kLineColumns = 16;
constexpr std::size_t kLineBytes = kTileRows * 4;

[[noreturn]] void Refuse(std::size_t row, std::size_t col, const char* what) {
  throw std::invalid_argument("row " + std::to_string(row) + ", column " + std::to_string(col) +
                              " " + what);
}

// Columns [begin, begin + 16) of one row, those past the end left out.
void UnpackWord(std::uint32_t word, std::size_t begin, std::size_t cols, std::uint8_t* codes) {
  for (std::size_t j = 0; j < kLineColumns && begin + j < cols; ++j) {
    codes[begin + j] = static_cast<std::uint8_t>(word >> (8 * (j % 4) + 2 * (j / 4)) & 3U);
  }
}

// `num_lines` lines that begin at column `begin`.
void UnpackLines(const std::uint8_t* lines, std::size_t num_lines, std::size_t begin,
                 std::size_t cols, std::uint8_t* codes) {
  for (std::size_t line = 0; line < num_lines; ++line) {
    for (std::size_t row = 0; row < kTileRows; ++row) {
      const auto word = ReadAs<std::uint32_t>(lines + line * kLineBytes + row * 4);
      UnpackWord(word, begin + line * kLineColumns, cols, codes + row * cols);
    }
  }
}

void CheckCodes(const std::uint8_t* codes, std::size_t cols, std::size_t tile) {
  for (std::size_t i = 0; i < kTileRows * cols; ++i) {
    if (codes[i] == kNoWeight) {
      Refuse(tile * kTileRows + i / cols, i % cols,
             "holds code 3; a ternary weight has codes 0, 1 and 2");
    }
  }
}

}  // namespace

const TernaryPacking kTilesPacking = {
    .name = "tiles", .bytes = TernaryBytes, .pack = TernaryPack, .gemm = nullptr, .is_tiles = true};

const GroupedPacking kGroupedTilesPacking = {.name = "tiles",
                                             .bytes = GroupedTernaryBytes,
                                             .pack = GroupedTernaryPack,
                                             .gemm = nullptr,
                                             .is_tiles = true};

std::size_t TilesBytes(std::size_t rows, std::size_t cols, std::size_t group) {
  return group == 0 ? TernaryBytes(rows, cols) : GroupedTernaryBytes(rows, cols, group);
}

void UnpackTile(const std::uint8_t* tiles, std::size_t cols, std::size_t group, std::size_t tile,
                std::uint8_t* codes, std::uint16_t* scales) {
  if (group == 0) {
    const std::size_t num_lines = RoundUp(cols, kColumnAlign) / kLineColumns;
    UnpackLines(tiles + tile * num_lines * kLineBytes, num_lines, 0, cols, codes);
  } else {
    const std::size_t num_groups = NumGroups(cols, group);
    for (std::size_t g = 0; g < num_groups; ++g) {
      const std::uint8_t* from = tiles + (tile * num_groups + g) * GroupBytes(group);
      for (std::size_t row = 0; row < kTileRows; ++row) {
        const auto half = ReadAs<std::uint16_t>(from + row * sizeof(std::uint16_t));
        if ((half & 0x7c00U) == 0x7c00U) {
          Refuse(tile * kTileRows + row, g * group, "has a scale that is not finite");
        }
        scales[row * num_groups + g] = half;
      }
      UnpackLines(from + kGroupScaleBytes, group / kLineColumns, g * group, cols, codes);
    }
  }
  CheckCodes(codes, cols, tile);
}

}  // namespace tercet
