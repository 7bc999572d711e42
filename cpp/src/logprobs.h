// What the model itself thought of the tokens: log-probabilities of logits as the head left them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/reference_math.h"

namespace tercet {

class Logprobs {
 public:
  Logprobs(const Kernels& kernels, std::span<const float> logits) : logits_(logits) {
    const float largest = logits[kernels.argmax(logits.data(), logits.size())];
    total_ = largest + Log(kernels.sum_exp(logits.data(), logits.size(), largest, 1.0F));
  }

  float of(std::size_t token) const { return logits_[token] - total_; }

  // The likeliest tokens, as many as there are places: likeliest first, the lower id of equals.
  void Top(std::span<std::int32_t> tokens, std::span<float> logprobs) const {
    const std::size_t count = std::min(tokens.size(), logits_.size());
    const auto likelier = [this](std::int32_t a, std::int32_t b) {
      const float x = logits_[static_cast<std::size_t>(a)];
      const float y = logits_[static_cast<std::size_t>(b)];
      return x > y || (x == y && a < b);
    };
    std::vector<std::int32_t> heap;  // the likeliest so far, the least likely of them in front
    heap.reserve(count);
    for (std::size_t i = 0; i < logits_.size() && count > 0; ++i) {
      const auto token = static_cast<std::int32_t>(i);
      if (heap.size() < count) {
        heap.push_back(token);
        std::push_heap(heap.begin(), heap.end(), likelier);
      } else if (logits_[i] > logits_[static_cast<std::size_t>(heap.front())]) {
        std::pop_heap(heap.begin(), heap.end(), likelier);
        heap.back() = token;
        std::push_heap(heap.begin(), heap.end(), likelier);
      }
    }
    std::sort_heap(heap.begin(), heap.end(), likelier);
    for (std::size_t i = 0; i < heap.size(); ++i) {
      tokens[i] = heap[i];
      logprobs[i] = of(static_cast<std::size_t>(heap[i]));
    }
  }

 private:
  std::span<const float> logits_;
  float total_ = 0;  // of all tokens, as a logarithm
};

}  // namespace tercet
