#include "linear.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

namespace tercet {
namespace {

// Unpacks row `row` of a checkpoint's matrix to one code a byte. Returns whether all were below 3.
bool UnpackRow(const std::uint8_t* codes, std::size_t rows, std::size_t cols, std::size_t row,
               std::uint8_t* out) {
  const std::size_t quarter = rows / 4;
  const std::uint8_t* source = codes + (row % quarter) * cols;
  const auto shift = static_cast<unsigned>(2 * (row / quarter));
  std::uint8_t largest = 0;
  for (std::size_t c = 0; c < cols; ++c) {
    out[c] = static_cast<std::uint8_t>((source[c] >> shift) & 3);
    largest = std::max(largest, out[c]);
  }
  return largest < 3;
}

// Tiles for one task: few enough that a slow thread is overtaken, at least two, which the kernels
// walk side by side, and enough work to be worth handing over.
std::size_t TilesPerTask(std::size_t num_tiles, std::size_t num_threads, std::size_t tile_cost) {
  const std::size_t share = std::clamp<std::size_t>(num_tiles / (num_threads * 4), 2, 16);
  // A multiply-add of a matrix costs an eighth of what one of a row of floats does.
  return std::max(share, 8 * ThreadPool::kWorthwhile / tile_cost);
}

}  // namespace

void Multiply(ThreadPool& pool, const TernaryPacking& packing, const TernaryMatrix& w,
              const Int8Rows& x, float* out) {
  const std::size_t num_tiles = RoundUp(w.rows, kTileRows) / kTileRows;
  const std::size_t per_task =
      TilesPerTask(num_tiles, pool.num_threads(), kTileRows * w.cols * x.num_rows);
  pool.Run((num_tiles + per_task - 1) / per_task, [&](std::size_t task, std::size_t) {
    const std::size_t begin = task * per_task;
    packing.gemm(&w, &x, begin, std::min(begin + per_task, num_tiles), out, w.rows);
  });
}

Linear::Linear(const TernaryPacking& packing, std::span<const std::size_t> part_rows,
               std::size_t cols)
    : packing_(&packing), cols_(cols) {
  for (const std::size_t rows : part_rows) {
    parts_.push_back({rows_, rows});
    rows_ += RoundUp(rows, kTileRows);
  }
  packed_ = AlignedBuffer<std::uint8_t>(packing.bytes(rows_, cols_),
                                        AlignedBuffer<std::uint8_t>::Pages::kHuge);
  row_scales_ = AlignedBuffer<float>(rows_);
}

void Linear::Pack(ThreadPool& pool, std::size_t part, const std::uint8_t* codes, float scale) {
  const auto [offset, rows] = parts_[part];
  std::vector<std::vector<std::uint8_t>> scratch(pool.num_threads(),
                                                 std::vector<std::uint8_t>(kTileRows * cols_));
  std::atomic<std::size_t> first_bad_row{rows};
  pool.Run(RoundUp(rows, kTileRows) / kTileRows, [&](std::size_t tile, std::size_t worker) {
    std::uint8_t* tile_codes = scratch[worker].data();
    for (std::size_t r = 0; r < kTileRows; ++r) {
      const std::size_t row = tile * kTileRows + r;
      if (row >= rows) {
        std::fill_n(tile_codes + r * cols_, cols_, std::uint8_t{1});
      } else if (!UnpackRow(codes, rows, cols_, row, tile_codes + r * cols_)) {
        std::size_t known = first_bad_row.load();
        while (row < known && !first_bad_row.compare_exchange_weak(known, row)) {
        }
        return;
      }
    }
    packing_->pack(tile_codes, rows_, cols_, offset / kTileRows + tile, packed_.data());
  });
  if (const std::size_t row = first_bad_row.load(); row < rows) {
    UnpackRow(codes, rows, cols_, row, scratch[0].data());
    const auto bad = std::find(scratch[0].begin(), scratch[0].end(), std::uint8_t{3});
    throw std::invalid_argument("row " + std::to_string(row) + ", column " +
                                std::to_string(bad - scratch[0].begin()) +
                                " holds code 3; a ternary weight has codes 0, 1 and 2");
  }
  std::fill_n(&row_scales_[offset], rows, scale);
}

void Linear::Multiply(ThreadPool& pool, const Activations& x, std::size_t num_tokens,
                      float* out) const {
  const TernaryMatrix matrix{packed_.data(), row_scales_.data(), rows_, cols_};
  tercet::Multiply(pool, *packing_, matrix, x.View(num_tokens, cols_), out);
}

}  // namespace tercet
