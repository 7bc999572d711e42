// What a batch must satisfy before any of its numbers is used as an index.
#include <stdexcept>
#include <string>

#include "kernels/kernels.h"
#include "tercet/model.h"

namespace tercet {
namespace {

void Require(bool holds, const std::string& otherwise) {
  if (!holds) {
    throw std::invalid_argument(otherwise);
  }
}

std::string Text(std::size_t n) { return std::to_string(n); }

}  // namespace

void Model::CheckBatch(const Batch& batch, const KVCache& cache) const {
  const std::size_t num_tokens = batch.num_tokens();
  const std::size_t num_chunks = batch.num_chunks();
  Require(num_tokens <= limits_.max_tokens,
          Text(num_tokens) + " tokens in a batch of at most " + Text(limits_.max_tokens));
  Require(num_chunks <= limits_.max_chunks,
          Text(num_chunks) + " chunks in a batch of at most " + Text(limits_.max_chunks));
  Require(batch.chunk_starts.size() == num_chunks + 1 && batch.chunk_starts.front() == 0 &&
              batch.chunk_starts.back() == static_cast<std::int32_t>(num_tokens),
          "chunk_starts must run from 0 to the number of tokens, one more than there are chunks");
  Require(batch.block_tables.size() == num_chunks * batch.max_blocks,
          "block_tables must have one row per chunk");
  Require(cache.num_layers() == config_.num_layers, "the cache belongs to another model");
  for (const std::int32_t token : batch.token_ids) {
    Require(token >= 0 && static_cast<std::size_t>(token) < config_.vocab_size,
            "token " + std::to_string(token) + " of a vocabulary of " + Text(config_.vocab_size));
  }
  for (std::size_t chunk = 0; chunk < num_chunks; ++chunk) {
    const std::int64_t length =
        std::int64_t{batch.chunk_starts[chunk + 1]} - batch.chunk_starts[chunk];
    Require(length > 0, "chunk " + Text(chunk) + " is empty");
    Require(batch.positions[chunk] >= 0, "chunk " + Text(chunk) + " begins before position 0");
    const std::size_t end =
        static_cast<std::size_t>(batch.positions[chunk]) + static_cast<std::size_t>(length);
    Require(end <= config_.max_context, "chunk " + Text(chunk) + " ends at position " + Text(end) +
                                            " of a context of " + Text(config_.max_context));
    const std::size_t num_blocks = (end + kBlockSize - 1) / kBlockSize;
    Require(num_blocks <= batch.max_blocks,
            "chunk " + Text(chunk) + " needs " + Text(num_blocks) + " blocks");
    for (std::size_t i = 0; i < num_blocks; ++i) {
      const std::int32_t block = batch.block_table(chunk)[i];
      Require(block >= 0 && static_cast<std::size_t>(block) < cache.num_blocks(),
              "block " + std::to_string(block) + " of a cache of " + Text(cache.num_blocks()));
    }
  }
  std::int32_t previous = -1;
  for (const std::int32_t output : batch.outputs) {
    Require(output > previous && static_cast<std::size_t>(output) < num_tokens,
            "outputs must be tokens of the batch in ascending order");
    previous = output;
  }
}

}  // namespace tercet
