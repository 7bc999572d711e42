// Which tokens a row may draw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tercet/sampler.h"

namespace tercet {

// The mask of a row, empty if every token is allowed.
inline std::span<const std::uint32_t> MaskOf(const SamplingBatch& batch, std::size_t row,
                                             std::size_t vocab_size) {
  if (batch.mask_rows[row] < 0) {
    return {};
  }
  const std::size_t words = MaskWords(vocab_size);
  return batch.masks.subspan(static_cast<std::size_t>(batch.mask_rows[row]) * words, words);
}

inline bool Allows(std::span<const std::uint32_t> mask, std::size_t token) {
  return mask.empty() || ((mask[token / 32] >> (token % 32)) & 1U) != 0;
}

}  // namespace tercet
