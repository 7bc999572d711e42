#include "tercet/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/kernels.h"

namespace tercet {
namespace {

constexpr float kGreedyBelow = 1e-5F;

// The softmax of one row, up to its sum, as far as a cut-off needs it.
class Cutoff {
 public:
  Cutoff(const Kernels& kernels, std::span<const float> logits, float inverse_temperature)
      : kernels_(kernels),
        logits_(logits),
        inverse_temperature_(inverse_temperature),
        largest_(logits[kernels.argmax(logits.data(), logits.size())]) {}

  // The smallest logit that min_p, top_k and top_p leave.
  float Find(float min_p, std::size_t top_k, float top_p) {
    const bool has_top_k = top_k > 0 && top_k < logits_.size();
    const bool has_top_p = top_p < 1.0F;
    float threshold = min_p > 0.0F ? ThresholdOf(min_p) : -std::numeric_limits<float>::infinity();
    if (has_top_k) {
      Gather(threshold);
      if (top_k < kept_.size()) {
        std::nth_element(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(top_k) - 1,
                         kept_.end(), std::greater<>());
        threshold = kept_[top_k - 1];
      }
    }
    return has_top_p ? std::max(threshold, TopP(threshold, top_p)) : threshold;
  }

 private:
  float Weight(float logit) const {  // its probability, but for the sum
    return kernels_.sum_exp(&logit, 1, largest_, inverse_temperature_);
  }

  // The smallest logit in the row whose weight is at least `weight`.
  float ThresholdOf(float weight) {
    float smallest = largest_;
    Gather(BelowWeight(weight));
    for (const float logit : kept_) {
      if (logit < smallest && Weight(logit) >= weight) {
        smallest = logit;
      }
    }
    return smallest;
  }

  // A logit surely below every logit of at least this weight. Only narrows a search: its own
  // rounding never decides.
  float BelowWeight(double weight) const {
    const double reach = (std::log(weight) - 1e-3) / static_cast<double>(inverse_temperature_);
    return static_cast<float>(static_cast<double>(largest_) + reach * (1 + 1e-6));
  }

  void Gather(float threshold) {
    kept_.clear();
    for (const float logit : logits_) {
      if (logit >= threshold) {
        kept_.push_back(logit);
      }
    }
  }

  // The smallest of the largest logits whose probabilities, among logits >= threshold, reach top_p.
  float TopP(float threshold, float top_p) {
    const double total = TotalWeight(threshold);
    // Tokens lighter than this sum to less than what top_p leaves out, however many they are.
    const double least =
        (1.0 - static_cast<double>(top_p)) * total / static_cast<double>(logits_.size());
    Gather(std::max(threshold, least > 0 ? BelowWeight(least) : threshold));
    double sum = 0;
    std::size_t sorted = 0;
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      if (i == sorted) {  // sort a little at a time: a peaked distribution needs few
        sorted = std::min(kept_.size(), std::max<std::size_t>(256, sorted * 8));
        std::partial_sort(kept_.begin() + static_cast<std::ptrdiff_t>(i),
                          kept_.begin() + static_cast<std::ptrdiff_t>(sorted), kept_.end(),
                          std::greater<>());
      }
      sum += static_cast<double>(Weight(kept_[i]));
      if (sum >= static_cast<double>(top_p) * total) {
        return kept_[i];
      }
    }
    return threshold;
  }

  double TotalWeight(float threshold) {
    if (threshold == -std::numeric_limits<float>::infinity()) {
      return static_cast<double>(
          kernels_.sum_exp(logits_.data(), logits_.size(), largest_, inverse_temperature_));
    }
    Gather(threshold);
    std::sort(kept_.begin(), kept_.end(), std::greater<>());  // the sum's order must be one
    double total = 0;
    for (const float logit : kept_) {
      total += static_cast<double>(Weight(logit));
    }
    return total;
  }

  const Kernels& kernels_;
  std::span<const float> logits_;
  float inverse_temperature_;
  float largest_;
  std::vector<float> kept_;
};

void AddPenaltiesAndBiases(std::span<float> logits, const SamplingBatch& batch, std::size_t row) {
  const auto end_of_counts = static_cast<std::size_t>(batch.count_starts[row + 1]);
  for (auto i = static_cast<std::size_t>(batch.count_starts[row]); i < end_of_counts; ++i) {
    float& logit = logits[static_cast<std::size_t>(batch.count_tokens[i])];
    logit -= batch.frequency_penalty[row] * static_cast<float>(batch.counts[i]);
    logit -= batch.presence_penalty[row];
  }
  const auto end_of_biases = static_cast<std::size_t>(batch.bias_starts[row + 1]);
  for (auto i = static_cast<std::size_t>(batch.bias_starts[row]); i < end_of_biases; ++i) {
    logits[static_cast<std::size_t>(batch.bias_tokens[i])] += batch.biases[i];
  }
}

std::size_t Draw(const Kernels& kernels, std::span<const float> logits, const SamplingBatch& batch,
                 std::size_t row) {
  const float temperature = batch.temperature[row];
  if (temperature < kGreedyBelow) {
    return kernels.argmax(logits.data(), logits.size());
  }
  const float inverse_temperature = 1.0F / temperature;
  const auto top_k = static_cast<std::size_t>(batch.top_k[row]);
  const float threshold =
      Cutoff(kernels, logits, inverse_temperature).Find(batch.min_p[row], top_k, batch.top_p[row]);
  const DrawKey key{batch.seed[row], static_cast<std::uint32_t>(batch.choice[row]),
                    static_cast<std::uint32_t>(batch.position[row])};
  return kernels.gumbel_argmax(logits.data(), logits.size(), inverse_temperature, threshold, &key);
}

}  // namespace

void Sample(const Kernels& kernels, ThreadPool& pool, float* logits, std::size_t vocab_size,
            const SamplingBatch& batch, std::int32_t* tokens) {
  pool.Run(batch.temperature.size(), [&](std::size_t row, std::size_t) {
    const std::span<float> values(logits + row * vocab_size, vocab_size);
    AddPenaltiesAndBiases(values, batch, row);
    tokens[row] = static_cast<std::int32_t>(Draw(kernels, values, batch, row));
  });
}

}  // namespace tercet
