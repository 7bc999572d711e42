// The memory of keys and values, in blocks. Which block belongs to whom is decided elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tercet/aligned_buffer.h"
#include "tercet/config.h"

namespace tercet {

// bfloat16 keys and values of `num_blocks` blocks of 16 tokens. A layer's blocks lie together;
// within a block each KV head has its keys, transposed to [head_dim][16] so that 16 tokens' scores
// are computed side by side, then its values [16][head_dim].
class KVCache {
 public:
  KVCache(const ModelConfig& config, std::size_t num_blocks);

  // Of one block over all layers.
  static std::size_t BlockBytes(const ModelConfig& config);

  std::size_t num_blocks() const { return num_blocks_; }
  std::size_t num_layers() const { return num_layers_; }
  std::size_t block_stride() const { return block_stride_; }  // elements from a block to the next
  std::size_t key_offset(std::size_t kv_head) const { return kv_head * 2 * head_elements_; }
  std::size_t value_offset(std::size_t kv_head) const {
    return key_offset(kv_head) + head_elements_;
  }
  std::uint16_t* layer(std::size_t index) {
    return data_.data() + index * num_blocks_ * block_stride_;
  }

 private:
  std::size_t num_blocks_;
  std::size_t num_layers_;
  std::size_t head_elements_;
  std::size_t block_stride_;
  AlignedBuffer<std::uint16_t> data_;
};

}  // namespace tercet
