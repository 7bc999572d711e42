// What a request changes of its logits before one is drawn.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "tercet/sampler.h"

namespace tercet {

inline constexpr float kGreedyBelow = 1e-5F;

inline bool IsGreedy(const SamplingBatch& batch, std::size_t row) {
  return batch.temperature[row] < kGreedyBelow;
}

inline DrawKey KeyOf(const SamplingBatch& batch, std::size_t row) {
  return {batch.seed[row], static_cast<std::uint32_t>(batch.choice[row]),
          static_cast<std::uint32_t>(batch.position[row])};
}

// `logit_of(token)` is a float&. All changes keep order:
// of two logits of one token the larger stays the larger.
template <typename Logit>
void AddPenaltiesAndBiases(const SamplingBatch& batch, std::size_t row, const Logit& logit_of) {
  const float repetition = batch.repetition_penalty[row];
  const auto end_of_seen = static_cast<std::size_t>(batch.seen_starts[row + 1]);
  for (auto i = static_cast<std::size_t>(batch.seen_starts[row]); i < end_of_seen; ++i) {
    float& logit = logit_of(batch.seen_tokens[i]);
    logit = logit > 0 ? logit / repetition : logit * repetition;
  }
  const auto end_of_counts = static_cast<std::size_t>(batch.count_starts[row + 1]);
  for (auto i = static_cast<std::size_t>(batch.count_starts[row]); i < end_of_counts; ++i) {
    float& logit = logit_of(batch.count_tokens[i]);
    logit -= batch.frequency_penalty[row] * static_cast<float>(batch.counts[i]);
    logit -= batch.presence_penalty[row];
  }
  const auto end_of_biases = static_cast<std::size_t>(batch.bias_starts[row + 1]);
  for (auto i = static_cast<std::size_t>(batch.bias_starts[row]); i < end_of_biases; ++i) {
    logit_of(batch.bias_tokens[i]) += batch.biases[i];
  }
}

}  // namespace tercet
