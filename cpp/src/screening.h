// Draws that read half of the head.
//
// A draw is an argmax: of logits, or of logit / temperature + Gumbel noise. The high plane of the
// head gives each score to within a margin; only tokens whose upper bound reaches the largest lower
// bound can be drawn, and only these are finished, from the highest upper bound down, until none
// that is left can win. The token is that of the full pass, unless the low nibbles of one row add
// more than eight of their standard deviations.
//
// Whether a row is screened, and which of its tokens are finished, depends on the row alone: not on
// the batch, the threads or the kernel set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "head.h"
#include "kernels/kernels.h"
#include "tercet/aligned_buffer.h"
#include "tercet/head_stats.h"
#include "tercet/sampler.h"
#include "tercet/thread_pool.h"

namespace tercet {

class Screening {
 public:
  Screening(std::size_t vocab_size, std::size_t num_threads);

  // Whether the row asks for a token only, and for no cut-off that needs the other logits.
  static bool CanDraw(const SamplingBatch& batch, std::size_t row, std::size_t vocab_size);

  // Draws the rows of the batch that `head` has just screened into sums[rows.size()][vocab_size],
  // which are overwritten; rows for which too many tokens remain are appended to `left`.
  void Draw(const Kernels& kernels, ThreadPool& pool, Head& head, const SamplingBatch& batch,
            std::span<const std::size_t> rows, std::int32_t* sums, Samples& out,
            std::vector<std::size_t>& left);

  const HeadStats& stats() const { return stats_; }
  HeadStats& stats() { return stats_; }
  std::size_t bytes() const {
    return scratch_tokens_.bytes() + scratch_uppers_.bytes() + tokens_.bytes() + uppers_.bytes();
  }

 private:
  struct Row;
  struct Candidate;

  void ScreenChunk(const Kernels& kernels, const Row& row, std::size_t i, std::size_t chunk,
                   std::size_t worker);
  void Decide(const Kernels& kernels, Head& head, std::size_t i, Row& row);
  bool Gather(std::size_t i, float bar, const Row& row, std::vector<Candidate>& candidates) const;

  std::size_t vocab_size_;
  std::size_t num_chunks_;
  AlignedBuffer<std::uint32_t> scratch_tokens_;  // [threads][kChunk]
  AlignedBuffer<float> scratch_uppers_;
  // What each chunk of each row keeps: [Head::kMaxRows][num_chunks][kChunk / 2].
  AlignedBuffer<std::uint32_t> tokens_;
  AlignedBuffer<float> uppers_;
  std::vector<std::size_t> counts_;  // [Head::kMaxRows][num_chunks]
  std::vector<float> bars_;
  HeadStats stats_;
};

}  // namespace tercet
