// Sampling parameters written row by row, and the flat arrays that the sampler reads.
#pragma once

#include <cstdint>
#include <vector>

#include "tercet/sampler.h"

namespace tercet::test {

// One row; what is not said is neutral.
struct Options {
  float temperature = 1;
  std::int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  std::uint64_t seed = 0;
  std::int32_t choice = 0;
  std::int32_t position = 0;
  float repetition_penalty = 1;
  std::vector<std::int32_t> seen_tokens = {};
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::vector<std::int32_t> count_tokens = {};
  std::vector<std::int32_t> counts = {};
  std::vector<std::int32_t> bias_tokens = {};
  std::vector<float> biases = {};
  std::int32_t mask_row = -1;
  std::int32_t target = -1;
  std::int32_t num_logprobs = -1;
};

class SamplingRows {
 public:
  explicit SamplingRows(const std::vector<Options>& rows, std::vector<std::uint32_t> masks = {})
      : masks_(std::move(masks)) {
    for (const Options& row : rows) {
      Add(row);
    }
  }

  SamplingBatch batch() const {
    return {.temperature = temperature_,
            .top_k = top_k_,
            .top_p = top_p_,
            .min_p = min_p_,
            .seed = seed_,
            .choice = choice_,
            .position = position_,
            .repetition_penalty = repetition_penalty_,
            .seen_starts = seen_starts_,
            .seen_tokens = seen_tokens_,
            .presence_penalty = presence_penalty_,
            .frequency_penalty = frequency_penalty_,
            .count_starts = count_starts_,
            .count_tokens = count_tokens_,
            .counts = counts_,
            .bias_starts = bias_starts_,
            .bias_tokens = bias_tokens_,
            .biases = biases_,
            .mask_rows = mask_rows_,
            .masks = masks_,
            .targets = targets_,
            .num_logprobs = num_logprobs_};
  }

 private:
  using Ints = std::vector<std::int32_t>;
  using Floats = std::vector<float>;

  template <class T>
  static void Append(std::vector<T>& to, const std::vector<T>& values) {
    to.insert(to.end(), values.begin(), values.end());
  }

  void Add(const Options& row) {
    temperature_.push_back(row.temperature);
    top_k_.push_back(row.top_k);
    top_p_.push_back(row.top_p);
    min_p_.push_back(row.min_p);
    seed_.push_back(row.seed);
    choice_.push_back(row.choice);
    position_.push_back(row.position);
    repetition_penalty_.push_back(row.repetition_penalty);
    presence_penalty_.push_back(row.presence_penalty);
    frequency_penalty_.push_back(row.frequency_penalty);
    mask_rows_.push_back(row.mask_row);
    targets_.push_back(row.target);
    num_logprobs_.push_back(row.num_logprobs);
    Append(seen_tokens_, row.seen_tokens);
    Append(count_tokens_, row.count_tokens);
    Append(counts_, row.counts);
    Append(bias_tokens_, row.bias_tokens);
    Append(biases_, row.biases);
    seen_starts_.push_back(static_cast<std::int32_t>(seen_tokens_.size()));
    count_starts_.push_back(static_cast<std::int32_t>(count_tokens_.size()));
    bias_starts_.push_back(static_cast<std::int32_t>(bias_tokens_.size()));
  }

  Floats temperature_, top_p_, min_p_, repetition_penalty_, presence_penalty_, frequency_penalty_;
  std::vector<std::uint64_t> seed_;
  Ints top_k_, choice_, position_, mask_rows_, targets_, num_logprobs_;
  Ints seen_starts_{0}, seen_tokens_, count_starts_{0}, count_tokens_, counts_;
  Ints bias_starts_{0}, bias_tokens_;
  Floats biases_;
  std::vector<std::uint32_t> masks_;
};

}  // namespace tercet::test
