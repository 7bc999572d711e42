// Packed matrices as Python holds them: arrays, which may be views of a mapped file.
#pragma once

#include <vector>

#include "arrays.h"
#include "formats/tiles.h"

namespace tercet {

struct PyTiles {
  Array<std::uint8_t> tiles;
  Array<float> row_scales;
  std::vector<Outlier> outliers;

  PackedTiles get() const { return {AsSpan(tiles), AsSpan(row_scales), outliers}; }
};

struct PyPlane {
  Array<std::uint8_t> high;
  Array<float> row_scales;
  Array<float> screen_scales;
  Array<float> margins;

  PackedPlane get() const {
    return {AsSpan(high), AsSpan(row_scales), AsSpan(screen_scales), AsSpan(margins)};
  }
};

}  // namespace tercet
