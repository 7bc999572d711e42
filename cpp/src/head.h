// The output head: which logit each vocabulary entry gets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "linear.h"
#include "tercet/aligned_buffer.h"
#include "tercet/thread_pool.h"

namespace tercet {

// int8 rows (the default: half the bytes of the checkpoint's table, and the sums are integers), the
// table itself in bfloat16, or, where the table is ternary, a ternary matrix like those of the
// layers. The choice changes logits, so it is part of the model's fingerprint. A table in another
// layout is read row by row as bfloat16.
//
// int8 weights are kept in two planes of nibbles. Multiply reads both. Screen reads the high one
// only, which leaves of each logit what the low nibbles add: a sum of products that, against the
// activations, are as good as random, with a known sum of squares. 8 of its standard deviations
// bound it (screening.h), and where it matters Finish takes the row from the table. So the low
// plane is packed, and takes memory, only once all logits are asked for.
enum class HeadKind { kInt8, kBf16, kTernary };

class Head {
 public:
  // Rows of logits computed together: more would only need more memory, as so many keep the cores
  // busy while the weights are read once.
  static constexpr std::size_t kMaxRows = 32;

  // `packing` is of a ternary head.
  Head(HeadKind kind, std::size_t vocab_size, std::size_t hidden_size,
       const WeightPacking& packing);

  // Keeps the table too, which somebody must keep alive: more is packed from it on demand. Throws
  // std::invalid_argument if a ternary head's table is not ternary.
  void Pack(const Kernels& kernels, ThreadPool& pool, const TensorSource& table);

  // The same from a converted model's file: of an int8 head the high plane, of a ternary one its
  // tiles, as Linear::Take does. Throws std::invalid_argument on what is no such head.
  void Take(ThreadPool& pool, const TensorSource& table, const PackedPlane& plane, bool in_place);
  void Take(ThreadPool& pool, const TensorSource& table, const PackedTiles& tiles, bool in_place);

  // What Take takes, of an int8 head.
  PackedPlane Contents() const;

  // logits[i * vocab_size + n] for the hidden states hidden[rows[i]][hidden_size], at most
  // kMaxRows.
  void Multiply(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                std::span<const std::size_t> rows, float* logits);

  bool can_screen() const { return kind_ == HeadKind::kInt8; }

  // sums[i * vocab_size + n], the products with the high plane.
  void Screen(const Kernels& kernels, ThreadPool& pool, const float* hidden,
              std::span<const std::size_t> rows, std::int32_t* sums);

  // What the last Screen's sums mean for its i-th row; the caller adds noise and a range of tokens.
  tercet::Screen ScreenOf(std::size_t i, const std::int32_t* sums) const;

  // The logit that Multiply computes, for the i-th row of the last Screen.
  float Finish(const Kernels& kernels, std::size_t i, std::size_t token) const;

  std::size_t vocab_size() const { return vocab_size_; }

  // Read for every token: the high plane, or the table.
  std::size_t decode_bytes() const;
  // Everything, though the low plane comes only if it is needed.
  std::size_t bytes() const;
  std::size_t workspace_bytes() const;

 private:
  void PackLow(const Kernels& kernels, ThreadPool& pool);
  void Quantize(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                std::span<const std::size_t> rows);
  void MultiplyBf16(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                    std::span<const std::size_t> rows, float* logits);
  void MultiplyTernary(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                       std::span<const std::size_t> rows, float* logits);
  const std::uint16_t* Bf16Row(std::size_t token, std::vector<std::uint16_t>& scratch) const;
  HeadMatrix Packed() const;
  WideRows Quantized(std::size_t first, std::size_t count) const;

  HeadKind kind_;
  std::size_t vocab_size_;
  std::size_t hidden_size_;
  TensorSource table_;
  struct Ternary {
    Linear matrix;
    Activations activations;      // [kMaxRows][hidden_size]
    AlignedBuffer<float> logits;  // [kMaxRows][rows of the packed matrix]
  };
  std::unique_ptr<Ternary> ternary_;   // kTernary
  AlignedBuffer<std::uint16_t> copy_;  // kBf16: of a table in another layout
  // HeadPlaneBytes(vocab_size, hidden_size) each.
  PackedBytes high_;
  AlignedBuffer<std::uint8_t> low_;
  bool low_is_packed_ = false;
  AlignedBuffer<float> row_scales_;     // [RoundUp(vocab_size, kTileRows)]
  AlignedBuffer<float> screen_scales_;  // [vocab_size], of the weights that the high plane implies
  AlignedBuffer<float> margins_;        // [vocab_size], the length of what these leave out
  // Hidden states, quantised: [kMaxRows][2 * RoundUp(hidden_size, kHeadAlign)] bytes.
  AlignedBuffer<std::uint8_t> values_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> sums_;
  AlignedBuffer<float> reaches_;   // how far a row's margins reach, per unit
  AlignedBuffer<float> gathered_;  // kBf16: [kMaxRows][hidden_size]
};

}  // namespace tercet
