// What one forward pass computes: chunks of sequences, as flat arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tercet {

// A chunk is some consecutive tokens of one sequence; the keys and values of those before it are in
// the cache. No sequence may occur twice.
struct Batch {
  std::span<const std::int32_t> token_ids;     // [num_tokens], chunk after chunk
  std::span<const std::int32_t> chunk_starts;  // [num_chunks + 1]; first 0, last num_tokens
  std::span<const std::int32_t> positions;     // [num_chunks], of each chunk's first token
  std::span<const std::int32_t> block_tables;  // [num_chunks][max_blocks]
  std::size_t max_blocks = 0;
  std::span<const std::int32_t> outputs;  // [num_outputs], tokens whose hidden states are wanted

  std::size_t num_tokens() const { return token_ids.size(); }
  std::size_t num_chunks() const { return positions.size(); }
  const std::int32_t* block_table(std::size_t chunk) const {
    return block_tables.data() + chunk * max_blocks;
  }
};

}  // namespace tercet
