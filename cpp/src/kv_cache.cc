#include "tercet/kv_cache.h"

#include <algorithm>

#include "kernels/kernels.h"

namespace tercet {
namespace {

std::size_t ElementBytes(KvKind kind) {
  switch (kind) {
    case KvKind::kBf16:
      return 2;
    case KvKind::kInt8:
      return 1;
    case KvKind::kFloat32:
      break;
  }
  return 4;
}

// Of one head's keys in a block, or of its values.
std::size_t HeadElements(const ModelConfig& config, KvKind kind) {
  return kind == KvKind::kInt8 ? Int8KvBytes(config.head_dim) : config.head_dim * kBlockSize;
}

}  // namespace

KVCache::KVCache(const ModelConfig& config, KvKind kind, std::size_t num_blocks, bool touch)
    : kind_(kind),
      num_blocks_(num_blocks),
      num_layers_(config.num_layers),
      head_dim_(config.head_dim),
      head_elements_(HeadElements(config, kind)),
      block_stride_(config.num_kv_heads * 2 * head_elements_),
      data_(BlockBytes(config, kind) * num_blocks) {
  if (touch) {
    std::fill_n(data_.data(), data_.size(), std::byte{0});
  }
}

std::size_t KVCache::BlockBytes(const ModelConfig& config, KvKind kind) {
  return config.num_layers * config.num_kv_heads * 2 * HeadElements(config, kind) *
         ElementBytes(kind);
}

std::size_t KVCache::LayerOffset(std::size_t layer) const {
  return layer * num_blocks_ * block_stride_ * ElementBytes(kind_);
}

void KVCache::Store(const Kernels& kernels, std::size_t layer, std::size_t block,
                    std::size_t kv_head, std::size_t offset, const float* key, const float* value) {
  std::byte* memory = data_.data() + LayerOffset(layer);
  const std::size_t key_place = block * block_stride_ + key_offset(kv_head);
  const std::size_t value_place = block * block_stride_ + value_offset(kv_head);
  if (kind_ == KvKind::kBf16) {
    auto* elements = reinterpret_cast<std::uint16_t*>(memory);
    kernels.store_kv(key, value, head_dim_, offset, elements + key_place, elements + value_place);
    return;
  }
  if (kind_ == KvKind::kInt8) {
    auto* elements = reinterpret_cast<std::int8_t*>(memory);
    kernels.attention.store_int8(key, value, head_dim_, offset, elements + key_place,
                                 elements + value_place);
    return;
  }
  auto* elements = reinterpret_cast<float*>(memory);
  for (std::size_t d = 0; d < head_dim_; ++d) {
    elements[key_place + d * kBlockSize + offset] = key[d];
  }
  std::copy_n(value, head_dim_, elements + value_place + offset * head_dim_);
}

}  // namespace tercet
