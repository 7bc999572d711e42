#include "tercet/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "cutoff.h"
#include "kernels/kernels.h"
#include "logit_changes.h"
#include "logprobs.h"
#include "token_mask.h"

namespace tercet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void Forbid(std::span<float> logits, std::span<const std::uint32_t> mask) {
  for (std::size_t word = 0; word < mask.size(); ++word) {
    if (mask[word] == ~0U) {
      continue;
    }
    const std::size_t end = std::min(logits.size(), word * 32 + 32);
    for (std::size_t token = word * 32; token < end; ++token) {
      logits[token] = Allows(mask, token) ? logits[token] : -kInfinity;
    }
  }
}

std::size_t Draw(const Kernels& kernels, std::span<const float> logits, const SamplingBatch& batch,
                 std::size_t row) {
  if (IsGreedy(batch, row)) {
    return kernels.argmax(logits.data(), logits.size());
  }
  const float inverse_temperature = 1.0F / batch.temperature[row];
  const auto top_k = static_cast<std::size_t>(batch.top_k[row]);
  const float threshold =
      Cutoff(kernels, logits, inverse_temperature).Find(batch.min_p[row], top_k, batch.top_p[row]);
  const DrawKey key = KeyOf(batch, row);
  return kernels.gumbel_argmax(logits.data(), logits.size(), inverse_temperature, threshold, &key);
}

// The row's token, drawn from its logits, which are changed for it.
std::size_t Choose(const Kernels& kernels, std::span<float> logits, const SamplingBatch& batch,
                   std::size_t row) {
  const std::span<const std::uint32_t> mask = MaskOf(batch, row, logits.size());
  Forbid(logits, mask);
  AddPenaltiesAndBiases(batch, row, [&](std::int32_t token) -> float& {
    return logits[static_cast<std::size_t>(token)];
  });
  std::size_t token = Draw(kernels, logits, batch, row);
  if (!Allows(mask, token)) {  // no allowed logit is a number: the first allowed token
    token = 0;
    while (!Allows(mask, token)) {
      ++token;
    }
  }
  return token;
}

void SampleRow(const Kernels& kernels, std::span<float> logits, const SamplingBatch& batch,
               std::size_t row, Samples& out) {
  const bool is_drawn = batch.targets[row] < 0;
  const bool is_scored = !is_drawn || batch.num_logprobs[row] >= 0;
  std::vector<float> unchanged;
  std::optional<Logprobs> logprobs;
  if (is_scored) {
    if (is_drawn) {
      unchanged.assign(logits.begin(), logits.end());
    }
    logprobs.emplace(kernels, is_drawn ? std::span<const float>(unchanged) : logits);
    const auto num_top = static_cast<std::size_t>(std::max(batch.num_logprobs[row], 0));
    logprobs->Top(std::span(out.top_tokens).subspan(row * out.num_top, num_top),
                  std::span(out.top_logprobs).subspan(row * out.num_top, num_top));
  }
  const std::size_t token =
      is_drawn ? Choose(kernels, logits, batch, row) : static_cast<std::size_t>(batch.targets[row]);
  out.tokens[row] = static_cast<std::int32_t>(token);
  if (is_scored) {
    out.token_logprobs[row] = logprobs->of(token);
  }
}

}  // namespace

Samples::Samples(const SamplingBatch& batch)
    : num_top(batch.num_rows() == 0
                  ? 0
                  : static_cast<std::size_t>(std::max(0, std::ranges::max(batch.num_logprobs)))),
      tokens(batch.num_rows(), -1),
      token_logprobs(batch.num_rows(), std::numeric_limits<float>::quiet_NaN()),
      top_tokens(batch.num_rows() * num_top, -1),
      top_logprobs(batch.num_rows() * num_top, std::numeric_limits<float>::quiet_NaN()) {}

void Sample(const Kernels& kernels, ThreadPool& pool, float* logits, std::size_t vocab_size,
            const SamplingBatch& batch, std::span<const std::size_t> rows, Samples& out) {
  pool.Run(rows.size(), [&](std::size_t i, std::size_t) {
    const std::span<float> values(logits + i * vocab_size, vocab_size);
    SampleRow(kernels, values, batch, rows[i], out);
  });
}

}  // namespace tercet
