// A ternary matrix in packed form, made of one or more of the checkpoint's matrices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "activations.h"
#include "formats/tiles.h"
#include "kernels/kernels.h"
#include "outliers.h"
#include "packed_bytes.h"
#include "tercet/aligned_buffer.h"
#include "tercet/config.h"
#include "tercet/tensor_source.h"
#include "tercet/thread_pool.h"

namespace tercet {

// How a model keeps its ternary matrices: `grouped` where its grid has groups, else `plain`.
struct WeightPacking {
  const TernaryPacking* plain = nullptr;
  const GroupedPacking* grouped = nullptr;
  Grid grid = {};

  const char* name() const { return grouped != nullptr ? grouped->name : plain->name; }
  std::size_t Bytes(std::size_t rows, std::size_t cols) const {
    return grouped != nullptr ? grouped->bytes(rows, cols, grid.group()) : plain->bytes(rows, cols);
  }
  // Whether it is that of converted models' files.
  bool is_tiles() const { return grouped != nullptr ? grouped->is_tiles : plain->is_tiles; }
};

// Rows [0, rows) of a packed matrix.
struct PackedMatrix {
  const std::uint8_t* packed;
  const float* row_scales;
  std::size_t rows;
  std::size_t cols;
};

// out[t * out_stride + n] for every token t and row n of tiles [tile_begin, tile_end): the product
// over all threads.
void Multiply(ThreadPool& pool, const WeightPacking& packing, const PackedMatrix& w,
              const Activations& x, std::size_t num_tokens, std::size_t tile_begin,
              std::size_t tile_end, float* out, std::size_t out_stride);

// out = x W^T for several weight matrices W that share their input, stacked so that one pass over
// the threads computes all of them. Each part begins at a tile; the rows between parts are zero
// weights.
class Linear {
 public:
  Linear(const WeightPacking& packing, std::span<const std::size_t> part_rows, std::size_t cols);

  const WeightPacking& packing() const { return packing_; }
  std::size_t cols() const { return cols_; }
  std::size_t num_parts() const { return parts_.size(); }
  std::size_t part_rows(std::size_t part) const { return parts_[part].rows; }
  // Where a part's outputs begin in a row of outputs, and how far rows of outputs lie apart.
  std::size_t part_offset(std::size_t part) const { return parts_[part].offset; }
  std::size_t out_stride() const { return rows_; }
  std::size_t bytes() const { return packed_.bytes() + row_scales_.bytes() + outliers_.bytes(); }
  std::size_t num_outliers() const { return outliers_.count(); }

  // Packs one part, whose values are multiplied by `multiplier` too. Throws std::invalid_argument,
  // with the place, on what is no weight.
  void Pack(ThreadPool& pool, std::size_t part, const TensorSource& source, float multiplier);

  // Takes all parts as they lie in a converted model's file: copied where this packing is the
  // file's, else packed anew. `in_place`: copied nowhere and multiplied where they are; somebody
  // must keep them alive. Throws std::invalid_argument on a wrong size, and on values that no
  // matrix has.
  void Take(ThreadPool& pool, const PackedTiles& source, bool in_place);

  // What Take takes, if the packing is the file's.
  PackedTiles Contents() const {
    return {packed_.span(), {row_scales_.data(), row_scales_.size()}, outliers_.all()};
  }

  // What is added to a part's outputs; the same for every token.
  void SetBias(std::size_t part, std::span<const float> bias);

  // Gains [cols()] of the norm that a part's inputs go through first, where a model has such.
  void SetNorm(std::size_t part, std::span<const float> gains);
  std::span<const float> norm(std::size_t part) const { return parts_[part].norm; }

  // out[t * out_stride() + row] for the first `num_tokens` rows of `x`, quantised from cols()
  // columns.
  void Multiply(const Kernels& kernels, ThreadPool& pool, const Activations& x,
                std::size_t num_tokens, float* out) const;

  // The outputs of one part alone, without outliers and bias.
  void MultiplyPart(ThreadPool& pool, std::size_t part, const Activations& x,
                    std::size_t num_tokens, float* out) const;

  // Adds the bias, if there is one: what products of all parts leave to do.
  void AddBias(const Kernels& kernels, ThreadPool& pool, std::size_t num_tokens, float* out) const;

 private:
  struct Part {
    std::size_t offset;
    std::size_t rows;
    std::vector<float> norm = {};
  };
  struct TileScratch;

  void PackTile(const TensorSource& source, std::size_t part, std::size_t tile, float multiplier,
                TileScratch& scratch);
  void PackCodes(std::size_t packed_tile, const TileScratch& scratch);
  void Repack(ThreadPool& pool, const std::uint8_t* tiles);
  PackedMatrix Matrix() const { return {packed_.data(), row_scales_.data(), rows_, cols_}; }

  WeightPacking packing_;
  std::size_t cols_;
  std::size_t rows_ = 0;  // of all parts, each rounded up to whole tiles
  std::vector<Part> parts_;
  PackedBytes packed_;
  AlignedBuffer<float> row_scales_;
  std::vector<float> bias_;  // [rows_], or none
  Outliers outliers_;
};

}  // namespace tercet
