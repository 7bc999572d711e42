// From logits to tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tercet/thread_pool.h"

namespace tercet {

struct Kernels;

// One entry per row of logits, but for the ragged ones: row r has counts and biases
// [starts[r], starts[r + 1]).
struct SamplingBatch {
  std::span<const float> temperature;
  std::span<const std::int32_t> top_k;  // 0: off
  std::span<const float> top_p;         // 1: off
  std::span<const float> min_p;         // 0: off
  std::span<const std::uint64_t> seed;
  std::span<const std::int32_t> choice;
  std::span<const std::int32_t> position;
  std::span<const float> presence_penalty;
  std::span<const float> frequency_penalty;
  std::span<const std::int32_t> count_starts;  // [rows + 1]
  std::span<const std::int32_t> count_tokens;
  std::span<const std::int32_t> counts;
  std::span<const std::int32_t> bias_starts;  // [rows + 1]
  std::span<const std::int32_t> bias_tokens;
  std::span<const float> biases;
};

// Draws one token per row into tokens[rows]; `logits` [rows][vocab_size] is overwritten.
//
// Penalties and biases are added to the logits, then, over p = softmax(logits / temperature): min_p
// keeps tokens with p >= min_p * max p, top_k the k largest, top_p the fewest of the largest whose
// renormalised p sum to top_p or more; tokens equal to the last one kept are kept too. Of what
// remains the token with the largest logit / temperature + Gumbel noise is drawn, which is a draw
// from p (Gumbel-max), with noise that depends on (seed, choice, position, token) alone.
// Temperatures below 1e-5 take the largest logit.
void Sample(const Kernels& kernels, ThreadPool& pool, float* logits, std::size_t vocab_size,
            const SamplingBatch& batch, std::int32_t* tokens);

}  // namespace tercet
