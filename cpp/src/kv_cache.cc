#include "tercet/kv_cache.h"

#include "kernels/kernels.h"

namespace tercet {

KVCache::KVCache(const ModelConfig& config, std::size_t num_blocks)
    : num_blocks_(num_blocks),
      num_layers_(config.num_layers),
      head_elements_(config.head_dim * kBlockSize),
      block_stride_(config.num_kv_heads * 2 * head_elements_),
      data_(num_layers_ * num_blocks_ * block_stride_) {}

std::size_t KVCache::BlockBytes(const ModelConfig& config) {
  return config.num_layers * 2 * config.kv_size() * kBlockSize * sizeof(std::uint16_t);
}

}  // namespace tercet
