#include "linear.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "formats/blocks.h"
#include "formats/ternary_row.h"

namespace tercet {
namespace {

// Tiles for one task: few enough that a slow thread is overtaken, at least two, which the kernels
// walk side by side, and enough work to be worth handing over.
std::size_t TilesPerTask(std::size_t num_tiles, std::size_t num_threads, std::size_t tile_cost) {
  const std::size_t share = std::clamp<std::size_t>(num_tiles / (num_threads * 4), 2, 16);
  // A multiply-add of a matrix costs an eighth of what one of a row of floats does.
  return std::max(share, 8 * ThreadPool::kWorthwhile / tile_cost);
}

// More weights on no grid than this cost more than the ternary ones, and mean another kind of
// model.
constexpr std::size_t kOneIn = 256;

void RequireFew(std::size_t num_off_grid, std::size_t num_weights) {
  if (num_off_grid * kOneIn > num_weights) {
    throw std::invalid_argument(
        std::to_string(num_off_grid) + " of " + std::to_string(num_weights) +
        " weights are not 0 or the magnitude of their group; at most one in " +
        std::to_string(kOneIn) + " may be");
  }
}

void RequireCount(const char* what, std::size_t given, std::size_t needed) {
  if (given != needed) {
    throw std::invalid_argument("there are " + std::to_string(given) + " " + what +
                                "; this model needs " + std::to_string(needed));
  }
}

// Calls pack(tile, worker) for every tile; of what it throws, the first tile's comes out.
template <typename PackOne>
void PackTiles(ThreadPool& pool, std::size_t num_tiles, const PackOne& pack) {
  std::mutex mutex;
  std::size_t bad_tile = num_tiles;
  std::string fault;
  pool.Run(num_tiles, [&](std::size_t tile, std::size_t worker) {
    try {
      pack(tile, worker);
    } catch (const std::invalid_argument& error) {
      const std::scoped_lock lock(mutex);
      if (tile < bad_tile) {
        bad_tile = tile;
        fault = error.what();
      }
    }
  });
  if (bad_tile < num_tiles) {
    throw std::invalid_argument(fault);
  }
}

// Writes a row's scales as float16 and returns what they are multiplied by: their magnitude where
// they share one, else a power of two that makes the largest of them one to two, so that nothing is
// rounded that was a float16 or bfloat16 in the file.
float Normalize(std::span<const float> scales, std::span<std::uint16_t> halves) {
  float largest = 0;
  for (const float scale : scales) {
    largest = std::max(largest, std::fabs(scale));
  }
  if (largest == 0) {
    std::fill(halves.begin(), halves.end(), std::uint16_t{0});
    return 0;
  }
  const bool is_one = std::all_of(scales.begin(), scales.end(), [&](float scale) {
    return scale == 0 || std::fabs(scale) == largest;
  });
  const float unit = is_one ? largest : std::ldexp(1.0F, std::ilogb(largest));
  for (std::size_t g = 0; g < scales.size(); ++g) {
    halves[g] = NarrowToF16(scales[g] / unit);
  }
  return unit;
}

// Calls gemm(begin, end) for stretches of tiles, over all threads.
template <typename Gemm>
void ForTiles(ThreadPool& pool, std::size_t tile_begin, std::size_t tile_end, std::size_t tile_cost,
              const Gemm& gemm) {
  const std::size_t num_tiles = tile_end - tile_begin;
  const std::size_t per_task = TilesPerTask(num_tiles, pool.num_threads(), tile_cost);
  pool.Run((num_tiles + per_task - 1) / per_task, [&](std::size_t task, std::size_t) {
    const std::size_t begin = tile_begin + task * per_task;
    gemm(begin, std::min(begin + per_task, tile_end));
  });
}

// Products of two terms wait on the stack until they are added: 32 KB, which stay in L1.
constexpr std::size_t kPairsAtOnce = 16;
constexpr std::size_t kPairTiles = 8;

// Tiles [begin, end) of a product of two rows a token: out[t] = product[2 t] + product[2 t + 1].
void MultiplyPairs(const GroupedPacking& packing, const GroupedMatrix& matrix, const Activations& x,
                   std::size_t num_tokens, std::size_t begin, std::size_t end, float* out,
                   std::size_t out_stride) {
  alignas(64) float products[2 * kPairsAtOnce][kPairTiles * kTileRows];
  constexpr std::size_t kStride = kPairTiles * kTileRows;
  const std::size_t tile_bytes = packing.bytes(kTileRows, matrix.cols, matrix.group);
  for (std::size_t tile = begin; tile < end; tile += kPairTiles) {
    const std::size_t count = std::min(kPairTiles, end - tile);
    const std::size_t first = tile * kTileRows;
    const std::size_t width = std::min(matrix.rows - first, count * kTileRows);
    const GroupedMatrix part{matrix.packed + tile * tile_bytes, matrix.row_scales + first, width,
                             matrix.cols, matrix.group};
    for (std::size_t token = 0; token < num_tokens; token += kPairsAtOnce) {
      const std::size_t pairs = std::min(kPairsAtOnce, num_tokens - token);
      const GroupedRows rows = x.GroupedView(token, pairs, matrix.cols);
      packing.gemm(&part, &rows, 0, count, products[0], kStride);
      for (std::size_t t = 0; t < pairs; ++t) {
        float* to = out + (token + t) * out_stride + first;
        for (std::size_t n = 0; n < width; ++n) {
          to[n] = products[2 * t][n] + products[2 * t + 1][n];
        }
      }
    }
  }
}

}  // namespace

void Multiply(ThreadPool& pool, const WeightPacking& packing, const PackedMatrix& w,
              const Activations& x, std::size_t num_tokens, std::size_t tile_begin,
              std::size_t tile_end, float* out, std::size_t out_stride) {
  const std::size_t tile_cost = kTileRows * w.cols * num_tokens * x.num_terms();
  if (packing.grouped == nullptr) {
    const TernaryMatrix matrix{w.packed, w.row_scales, w.rows, w.cols};
    const Int8Rows rows = x.View(num_tokens, w.cols);
    ForTiles(pool, tile_begin, tile_end, tile_cost, [&](std::size_t begin, std::size_t end) {
      packing.plain->gemm(&matrix, &rows, begin, end, out, out_stride);
    });
    return;
  }
  const GroupedMatrix matrix{w.packed, w.row_scales, w.rows, w.cols, packing.grid.group()};
  const GroupedRows rows = x.GroupedView(0, num_tokens, w.cols);
  ForTiles(pool, tile_begin, tile_end, tile_cost, [&](std::size_t begin, std::size_t end) {
    if (x.num_terms() == 2) {
      MultiplyPairs(*packing.grouped, matrix, x, num_tokens, begin, end, out, out_stride);
    } else {
      packing.grouped->gemm(&matrix, &rows, begin, end, out, out_stride);
    }
  });
}

Linear::Linear(const WeightPacking& packing, std::span<const std::size_t> part_rows,
               std::size_t cols)
    : packing_(packing), cols_(cols) {
  for (const std::size_t rows : part_rows) {
    parts_.push_back({.offset = rows_, .rows = rows});
    rows_ += RoundUp(rows, kTileRows);
  }
  packed_ = PackedBytes(packing.Bytes(rows_, cols_));
  row_scales_ = AlignedBuffer<float>(rows_);
}

// What one thread needs to pack a tile.
struct Linear::TileScratch {
  TileScratch(std::size_t cols, const Grid& grid)
      : num_groups(grid.group() == 0 ? 1 : NumGroups(cols, grid.group())),
        codes(kTileRows * cols),
        scales(grid.weight_group == 0 ? 1 : NumGroups(cols, grid.weight_group)),
        read_halves(scales.size()),
        halves(kTileRows * num_groups) {}

  std::size_t num_groups;
  std::vector<std::uint8_t> codes;         // [kTileRows][cols]
  std::vector<float> scales;               // of one row, as the file has them
  std::vector<std::uint16_t> read_halves;  // the same as float16
  std::vector<std::uint16_t> halves;       // [kTileRows][num_groups], of the products
  std::vector<Outlier> outliers;
};

void Linear::Pack(ThreadPool& pool, std::size_t part, const TensorSource& source,
                  float multiplier) {
  std::vector<TileScratch> scratch(pool.num_threads(), TileScratch(cols_, packing_.grid));
  const std::size_t num_tiles = RoundUp(parts_[part].rows, kTileRows) / kTileRows;
  PackTiles(pool, num_tiles, [&](std::size_t tile, std::size_t worker) {
    PackTile(source, part, tile, multiplier, scratch[worker]);
  });
  std::size_t num_off_grid = 0;
  for (const TileScratch& one : scratch) {
    num_off_grid += one.outliers.size();
  }
  RequireFew(num_off_grid, parts_[part].rows * cols_);
  for (TileScratch& one : scratch) {
    outliers_.Add(std::move(one.outliers));
  }
}

void Linear::PackTile(const TensorSource& source, std::size_t part, std::size_t tile,
                      float multiplier, TileScratch& scratch) {
  const std::size_t offset = parts_[part].offset;
  const std::size_t rows = parts_[part].rows;
  const float scale = source.scale * multiplier;
  const std::size_t num_groups = scratch.num_groups;
  for (std::size_t r = 0; r < kTileRows; ++r) {
    const std::size_t row = tile * kTileRows + r;
    const std::span codes = std::span(scratch.codes).subspan(r * cols_, cols_);
    const std::span halves = std::span(scratch.halves).subspan(r * num_groups, num_groups);
    if (row >= rows) {
      std::fill(codes.begin(), codes.end(), std::uint8_t{1});
      std::fill(halves.begin(), halves.end(), std::uint16_t{0});
      continue;
    }
    const std::size_t known = scratch.outliers.size();
    ReadTernaryRow(source, row, packing_.grid.weight_group, {codes, scratch.scales},
                   scratch.outliers);
    for (std::size_t i = known; i < scratch.outliers.size(); ++i) {
      scratch.outliers[i].row += static_cast<std::uint32_t>(offset);
      scratch.outliers[i].value *= scale;
    }
    if (packing_.grouped == nullptr) {
      row_scales_[offset + row] = scratch.scales[0] * scale;
      continue;
    }
    row_scales_[offset + row] = Normalize(scratch.scales, scratch.read_halves) * scale;
    const auto [weight_group, group] = std::pair(packing_.grid.weight_group, packing_.grid.group());
    for (std::size_t g = 0; g < num_groups; ++g) {
      halves[g] = scratch.read_halves[weight_group == 0 ? 0 : g * group / weight_group];
    }
  }
  // Memory is bounded while it is read, too: at most as many as a whole matrix may have, and a
  // tile.
  RequireFew(scratch.outliers.size() > kTileRows * cols_ ? scratch.outliers.size() : 0,
             parts_[part].rows * cols_);
  PackCodes(offset / kTileRows + tile, scratch);
}

void Linear::PackCodes(std::size_t packed_tile, const TileScratch& scratch) {
  if (packing_.grouped != nullptr) {
    packing_.grouped->pack(scratch.codes.data(), scratch.halves.data(), cols_,
                           packing_.grid.group(), packed_tile, packed_.own());
  } else {
    packing_.plain->pack(scratch.codes.data(), rows_, cols_, packed_tile, packed_.own());
  }
}

void Linear::Take(ThreadPool& pool, const PackedTiles& source, bool in_place) {
  const std::size_t num_bytes = TilesBytes(rows_, cols_, packing_.grid.group());
  RequireCount("bytes of tiles", source.tiles.size(), num_bytes);
  RequireCount("scales of rows", source.row_scales.size(), rows_);
  const auto is_finite = [](float scale) { return std::isfinite(scale); };
  if (!std::all_of(source.row_scales.begin(), source.row_scales.end(), is_finite)) {
    throw std::invalid_argument("the scale of a row is not finite");
  }
  RequireFew(source.outliers.size(), rows_ * cols_);
  outliers_.Take(source.outliers, rows_, cols_);
  std::copy(source.row_scales.begin(), source.row_scales.end(), row_scales_.data());
  if (!in_place) {
    if (packing_.is_tiles()) {
      packed_.Copy(pool, source.tiles);
    } else {
      Repack(pool, source.tiles.data());
    }
    return;
  }
  if (!packing_.is_tiles()) {
    throw std::invalid_argument("a file's tiles are not of the packing '" +
                                std::string(packing_.name()) + "'");
  }
  if (reinterpret_cast<std::uintptr_t>(source.tiles.data()) % kByteAlign != 0) {
    throw std::invalid_argument("its tiles do not begin at a multiple of " +
                                std::to_string(kByteAlign) + " bytes");
  }
  packed_.View(pool, source.tiles);
}

void Linear::Repack(ThreadPool& pool, const std::uint8_t* tiles) {
  const std::size_t group = packing_.grid.group();
  std::vector<TileScratch> scratch(pool.num_threads(), TileScratch(cols_, packing_.grid));
  PackTiles(pool, rows_ / kTileRows, [&](std::size_t tile, std::size_t worker) {
    UnpackTile(tiles, cols_, group, tile, scratch[worker].codes.data(),
               scratch[worker].halves.data());
    PackCodes(tile, scratch[worker]);
  });
}

void Linear::SetBias(std::size_t part, std::span<const float> bias) {
  bias_.resize(rows_);
  std::copy(bias.begin(), bias.end(),
            bias_.begin() + static_cast<std::ptrdiff_t>(part_offset(part)));
}

void Linear::SetNorm(std::size_t part, std::span<const float> gains) {
  parts_[part].norm.assign(gains.begin(), gains.end());
}

void Linear::Multiply(const Kernels& kernels, ThreadPool& pool, const Activations& x,
                      std::size_t num_tokens, float* out) const {
  tercet::Multiply(pool, packing_, Matrix(), x, num_tokens, 0, rows_ / kTileRows, out, rows_);
  outliers_.AddProducts(pool, x, num_tokens, cols_, out, rows_);
  AddBias(kernels, pool, num_tokens, out);
}

void Linear::MultiplyPart(ThreadPool& pool, std::size_t part, const Activations& x,
                          std::size_t num_tokens, float* out) const {
  const std::size_t begin = part_offset(part) / kTileRows;
  const std::size_t end = begin + RoundUp(part_rows(part), kTileRows) / kTileRows;
  tercet::Multiply(pool, packing_, Matrix(), x, num_tokens, begin, end, out, rows_);
}

void Linear::AddBias(const Kernels& kernels, ThreadPool& pool, std::size_t num_tokens,
                     float* out) const {
  if (bias_.empty()) {
    return;
  }
  pool.ForEach(num_tokens, rows_, [&](std::size_t token, std::size_t) {
    kernels.add(out + token * rows_, bias_.data(), rows_);
  });
}

}  // namespace tercet
