// What sampling parameters must satisfy before any of their numbers is used as an index.
#include <cmath>
#include <stdexcept>
#include <string>

#include "tercet/sampler.h"

namespace tercet {
namespace {

void Require(bool holds, const std::string& otherwise) {
  if (!holds) {
    throw std::invalid_argument(otherwise);
  }
}

bool IsToken(std::int32_t token, std::size_t vocab_size) {
  return token >= 0 && static_cast<std::size_t>(token) < vocab_size;
}

void CheckRagged(std::span<const std::int32_t> starts, std::size_t num_rows,
                 std::span<const std::int32_t> tokens, std::size_t num_values,
                 std::size_t vocab_size, const std::string& name) {
  Require(starts.size() == num_rows + 1 && starts.front() == 0 &&
              starts.back() == static_cast<std::int32_t>(tokens.size()) &&
              tokens.size() == num_values,
          name + ": starts must run from 0 to the number of entries");
  for (std::size_t r = 0; r < num_rows; ++r) {
    Require(starts[r] <= starts[r + 1], name + ": starts must not fall");
  }
  for (const std::int32_t token : tokens) {
    Require(IsToken(token, vocab_size),
            name + ": token " + std::to_string(token) + " is not in the vocabulary");
  }
}

bool AllowsAToken(std::span<const std::uint32_t> mask, std::size_t vocab_size) {
  for (std::size_t word = 0; word < mask.size(); ++word) {
    const std::size_t rest = vocab_size - word * 32;
    const std::uint32_t real = rest < 32 ? (1U << rest) - 1 : ~0U;
    if ((mask[word] & real) != 0) {
      return true;
    }
  }
  return false;
}

void CheckMasks(const SamplingBatch& batch, std::size_t vocab_size) {
  const std::size_t words = MaskWords(vocab_size);
  Require(batch.masks.size() % words == 0,
          "masks must have " + std::to_string(words) + " words a row");
  const std::size_t num_masks = batch.masks.size() / words;
  for (std::size_t mask = 0; mask < num_masks; ++mask) {
    Require(AllowsAToken(batch.masks.subspan(mask * words, words), vocab_size),
            "mask " + std::to_string(mask) + " allows no token");
  }
  for (const std::int32_t row : batch.mask_rows) {
    Require(row >= -1 && (row < 0 || static_cast<std::size_t>(row) < num_masks),
            "mask_rows names mask " + std::to_string(row) + " of " + std::to_string(num_masks));
  }
}

}  // namespace

void CheckSampling(const SamplingBatch& batch, std::size_t num_rows, std::size_t vocab_size) {
  Require(batch.num_rows() == num_rows,
          "sampling parameters for " + std::to_string(batch.num_rows()) +
              " rows; the last forward pass left " + std::to_string(num_rows));
  Require(batch.top_k.size() == num_rows && batch.top_p.size() == num_rows &&
              batch.min_p.size() == num_rows && batch.seed.size() == num_rows &&
              batch.choice.size() == num_rows && batch.position.size() == num_rows &&
              batch.repetition_penalty.size() == num_rows &&
              batch.presence_penalty.size() == num_rows &&
              batch.frequency_penalty.size() == num_rows && batch.mask_rows.size() == num_rows &&
              batch.targets.size() == num_rows && batch.num_logprobs.size() == num_rows,
          "every parameter needs one entry per row");
  for (std::size_t r = 0; r < num_rows; ++r) {
    Require(batch.top_k[r] >= 0, "top_k must not be negative");
    Require(std::isfinite(batch.repetition_penalty[r]) && batch.repetition_penalty[r] > 0,
            "repetition_penalty must be above 0");
    Require(batch.targets[r] == -1 || IsToken(batch.targets[r], vocab_size),
            "target " + std::to_string(batch.targets[r]) + " is not in the vocabulary");
    Require(batch.num_logprobs[r] >= -1 && batch.num_logprobs[r] <= kMaxLogprobs,
            "num_logprobs is " + std::to_string(batch.num_logprobs[r]) + "; -1 to " +
                std::to_string(kMaxLogprobs) + " are possible");
  }
  for (const float bias : batch.biases) {
    Require(std::isfinite(bias), "biases must be finite");
  }
  CheckRagged(batch.seen_starts, num_rows, batch.seen_tokens, batch.seen_tokens.size(), vocab_size,
              "seen");
  CheckRagged(batch.count_starts, num_rows, batch.count_tokens, batch.counts.size(), vocab_size,
              "counts");
  CheckRagged(batch.bias_starts, num_rows, batch.bias_tokens, batch.biases.size(), vocab_size,
              "biases");
  CheckMasks(batch, vocab_size);
}

}  // namespace tercet
