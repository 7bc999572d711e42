// The memory of keys and values, in blocks. Which block belongs to whom is decided elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tercet/aligned_buffer.h"
#include "tercet/config.h"

namespace tercet {

struct Kernels;

// What a key or value is kept as. bfloat16 is the default; float32 keeps what was computed, at
// twice the memory; int8 takes half, with a scale per token and head, and makes attention a sum of
// integers. The choice changes results, so it is part of a model's fingerprint.
enum class KvKind { kBf16, kFloat32, kInt8 };

// Keys and values of `num_blocks` blocks of 16 tokens. A layer's blocks lie together; within a
// block each KV head has its keys, transposed so that 16 tokens' scores are computed side by side,
// then its values; KvType (kernels.h) says how. Strides and offsets count elements, which are bytes
// for int8.
class KVCache {
 public:
  // With `touch` every page is really taken now and not when it is first used.
  KVCache(const ModelConfig& config, KvKind kind, std::size_t num_blocks, bool touch);

  // Of one block over all layers.
  static std::size_t BlockBytes(const ModelConfig& config, KvKind kind);

  KvKind kind() const { return kind_; }
  std::size_t num_blocks() const { return num_blocks_; }
  std::size_t num_layers() const { return num_layers_; }
  std::size_t block_stride() const { return block_stride_; }  // from a block to the next
  std::size_t key_offset(std::size_t kv_head) const { return kv_head * 2 * head_elements_; }
  std::size_t value_offset(std::size_t kv_head) const {
    return key_offset(kv_head) + head_elements_;
  }
  const void* layer(std::size_t index) const { return data_.data() + LayerOffset(index); }

  // Writes one token's key and value, head_dim floats each, into slot `offset` of a block. What is
  // written depends on that token alone: a block is never quantised anew when another one comes.
  void Store(const Kernels& kernels, std::size_t layer, std::size_t block, std::size_t kv_head,
             std::size_t offset, const float* key, const float* value);

 private:
  std::size_t LayerOffset(std::size_t layer) const;  // in bytes

  KvKind kind_;
  std::size_t num_blocks_;
  std::size_t num_layers_;
  std::size_t head_dim_;
  std::size_t head_elements_;
  std::size_t block_stride_;
  AlignedBuffer<std::byte> data_;
};

}  // namespace tercet
