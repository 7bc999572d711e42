// Which tokens min_p, top_k and top_p leave.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "kernels/kernels.h"

namespace tercet {

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

}  // namespace tercet
