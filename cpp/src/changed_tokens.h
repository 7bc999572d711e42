// The few tokens of a row whose logits a request changes, apart from the others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "logit_changes.h"
#include "tercet/sampler.h"

namespace tercet {

class ChangedTokens {
 public:
  ChangedTokens() = default;
  ChangedTokens(const SamplingBatch& batch, std::size_t row) : batch_(&batch), row_(row) {
    const auto add = [&](std::span<const std::int32_t> tokens,
                         std::span<const std::int32_t> starts) {
      tokens_.insert(tokens_.end(), tokens.begin() + starts[row], tokens.begin() + starts[row + 1]);
    };
    add(batch.seen_tokens, batch.seen_starts);
    add(batch.count_tokens, batch.count_starts);
    add(batch.bias_tokens, batch.bias_starts);
    std::sort(tokens_.begin(), tokens_.end());
    tokens_.erase(std::unique(tokens_.begin(), tokens_.end()), tokens_.end());
  }

  std::size_t size() const { return tokens_.size(); }
  std::size_t operator[](std::size_t i) const { return static_cast<std::size_t>(tokens_[i]); }
  bool Contains(std::size_t token) const {
    return std::binary_search(tokens_.begin(), tokens_.end(), static_cast<std::int32_t>(token));
  }

  // Changes their logits, given in the order of the tokens.
  void Change(std::span<float> logits) const {
    AddPenaltiesAndBiases(*batch_, row_, [&](std::int32_t token) -> float& {
      const auto place = std::lower_bound(tokens_.begin(), tokens_.end(), token);
      return logits[static_cast<std::size_t>(place - tokens_.begin())];
    });
  }

 private:
  const SamplingBatch* batch_ = nullptr;
  std::size_t row_ = 0;
  std::vector<std::int32_t> tokens_;  // ascending, each once
};

}  // namespace tercet
