// Packed matrices as they lie in the files of converted models.
//
// A file's tiles are those of kernels/generic/pack.h, which most kernel sets multiply as they are.
// The scales of rows, and outliers, are what a model keeps in memory: with the source's own scale
// and the model's multipliers in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/ternary_row.h"
#include "kernels/kernels.h"
#include "tercet/config.h"

namespace tercet {

// A matrix of one or more parts, each of which begins at a tile.
struct PackedTiles {
  std::span<const std::uint8_t> tiles;
  std::span<const float> row_scales;       // of all rows, those between parts included
  std::span<const Outlier> outliers = {};  // by row, then column
};

// An int8 head: the plane of high nibbles (kernels.h), and what a screen of it needs.
struct PackedPlane {
  std::span<const std::uint8_t> high;
  std::span<const float> row_scales;     // [rows, rounded up to tiles]
  std::span<const float> screen_scales;  // [rows]
  std::span<const float> margins;        // [rows]
};

// Bytes of the tiles of a [rows, cols] matrix; `group`: of its grid.
std::size_t TilesBytes(std::size_t rows, std::size_t cols, std::size_t group);

// Writes packed tiles as every kernel set that has them would; without a product.
extern const TernaryPacking kTilesPacking;
extern const GroupedPacking kGroupedTilesPacking;

// The codes [kTileRows][cols] of one tile of a matrix and, with groups, its scales
// [kTileRows][num_groups]: the opposite of packing. Throws std::invalid_argument, with the place in
// the matrix, on a code that means no weight and on a scale that is not finite.
void UnpackTile(const std::uint8_t* tiles, std::size_t cols, std::size_t group, std::size_t tile,
                std::uint8_t* codes, std::uint16_t* scales);

}  // namespace tercet
