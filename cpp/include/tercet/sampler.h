// From logits to tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tercet/thread_pool.h"

namespace tercet {

struct Kernels;

// Likeliest tokens that a row may ask for.
inline constexpr std::int32_t kMaxLogprobs = 128;

// Words of a mask over a vocabulary: bit t % 32 of word t / 32 is token t's.
constexpr std::size_t MaskWords(std::size_t vocab_size) { return (vocab_size + 31) / 32; }

// One entry per row of logits, but for the ragged ones: row r has seen tokens, counts and biases
// [starts[r], starts[r + 1]).
struct SamplingBatch {
  std::span<const float> temperature;
  std::span<const std::int32_t> top_k;  // 0: off
  std::span<const float> top_p;         // 1: off
  std::span<const float> min_p;         // 0: off
  std::span<const std::uint64_t> seed;
  std::span<const std::int32_t> choice;
  std::span<const std::int32_t> position;
  std::span<const float> repetition_penalty;  // 1: off
  std::span<const std::int32_t> seen_starts;  // [rows + 1]
  std::span<const std::int32_t> seen_tokens;  // whom it concerns, each once
  std::span<const float> presence_penalty;
  std::span<const float> frequency_penalty;
  std::span<const std::int32_t> count_starts;  // [rows + 1]
  std::span<const std::int32_t> count_tokens;
  std::span<const std::int32_t> counts;
  std::span<const std::int32_t> bias_starts;  // [rows + 1]
  std::span<const std::int32_t> bias_tokens;
  std::span<const float> biases;
  std::span<const std::int32_t> mask_rows;     // row of `masks`; -1: every token is allowed
  std::span<const std::uint32_t> masks;        // [n][MaskWords(vocab_size)], a bit set: allowed
  std::span<const std::int32_t> targets;       // the token to score instead of a draw; -1: draw
  std::span<const std::int32_t> num_logprobs;  // likeliest tokens to name; -1: no probabilities

  std::size_t num_rows() const { return temperature.size(); }
};

// What came out of each row.
struct Samples {
  explicit Samples(const SamplingBatch& batch);

  std::size_t num_top;                   // the most that a row asked for
  std::vector<std::int32_t> tokens;      // [rows], drawn, or the row's target
  std::vector<float> token_logprobs;     // [rows]; NaN where neither target nor logprobs were asked
  std::vector<std::int32_t> top_tokens;  // [rows][num_top], likeliest first; -1 past the row's own
  std::vector<float> top_logprobs;       // [rows][num_top]; NaN past the row's own
};

// Throws std::invalid_argument unless Sample can take the batch for so many rows of logits.
void CheckSampling(const SamplingBatch& batch, std::size_t num_rows, std::size_t vocab_size);

// Some rows of the batch, whose logits [rows.size()][vocab_size] are overwritten.
//
// To draw, logits are changed in this order: tokens that the mask does not allow get -infinity;
// the repetition penalty p divides positive logits of seen tokens and multiplies the others; the
// frequency penalty is subtracted as often as a token was counted, the presence penalty once;
// biases are added. Then, over p = softmax(logits / temperature): min_p keeps tokens with
// p >= min_p * max p, top_k the k largest, top_p the fewest of the largest whose renormalised p sum
// to top_p or more; tokens equal to the last one kept are kept too. Of what remains the token with
// the largest logit / temperature + Gumbel noise is drawn, which is a draw from p (Gumbel-max),
// with noise that depends on (seed, choice, position, token) alone. Temperatures below 1e-5 take
// the largest logit.
//
// Log-probabilities are the model's own, of the logits before any change:
// logit - (max + Log(sum of Exp(logit - max))), in floats. Of equal logits the lower id is the
// likelier.
void Sample(const Kernels& kernels, ThreadPool& pool, float* logits, std::size_t vocab_size,
            const SamplingBatch& batch, std::span<const std::size_t> rows, Samples& out);

}  // namespace tercet
