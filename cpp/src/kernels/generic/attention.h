// Attention of one position over the blocks of the cache.
//
// A block's keys lie as a column per token, so the 16 lanes are 16 tokens: each lane runs over d by
// itself and no sum crosses lanes. Values lie as a row per token, so there the lanes are 16
// dimensions. Heads that share keys go through them together: kBlockRows heads × kBlockColumns
// vectors of lanes.
#pragma once

#include "kernels/generic/math.h"

namespace tercet {
namespace {

inline Floats LoadElements(const uint16_t* from) { return LoadBf16(from); }
inline Floats LoadElements(const float* from) { return Load(from); }

template <class Element>
inline const Element* CacheBlock(const AttentionTask& task, size_t index) {
  return static_cast<const Element*>(task.cache) +
         static_cast<size_t>(task.block_table[index]) * task.block_stride;
}

// dot * scale of kHeads heads with the keys of blocks [first, first + kBlocks).
template <class Element, size_t kHeads, size_t kBlocks>
inline void ScoreBlocks(const AttentionTask& task, const float* queries, size_t first,
                        float* scores, size_t stride) {
  const Element* keys[kBlocks];
  for (size_t b = 0; b < kBlocks; ++b) {
    keys[b] = CacheBlock<Element>(task, first + b) + task.key_offset;
  }
  Floats dots[kHeads][kBlocks];
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t b = 0; b < kBlocks; ++b) {
      dots[h][b] = Broadcast(0.0f);
    }
  }
  for (size_t d = 0; d < task.head_dim; ++d) {
    Floats k[kBlocks];
    for (size_t b = 0; b < kBlocks; ++b) {
      k[b] = LoadElements(keys[b] + d * kBlockSize);
    }
    for (size_t h = 0; h < kHeads; ++h) {
      const Floats q = Broadcast(queries[h * task.head_dim + d]);
      for (size_t b = 0; b < kBlocks; ++b) {
        dots[h][b] = Fma(q, k[b], dots[h][b]);
      }
    }
  }
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t b = 0; b < kBlocks; ++b) {
      Store(Mul(dots[h][b], Broadcast(task.scale)), scores + h * stride + (first + b) * kBlockSize);
    }
  }
}

// Scores become Exp(score - largest); returns their sum. What slots past num_keys hold stays out.
inline float Softmax(float* scores, size_t num_keys) {
  Floats largest = Broadcast(-__builtin_inff());
  ForLanes(num_keys, [&](size_t j, auto part) {
    largest = Merge(Max(largest, Load(scores + j, part)), largest, part);
  });
  const Floats m = Broadcast(MaxOf(largest));
  Floats sum = Broadcast(0.0f);
  ForLanes(num_keys, [&](size_t j, auto part) {
    const Floats p = Exp(Sub(Load(scores + j, part), m));
    Store(p, scores + j, part);
    sum = Merge(Add(sum, p), sum, part);
  });
  return SumOf(sum);
}

// Dimensions [d, d + 16 * kVectors) of the output of kHeads heads.
template <class Element, size_t kHeads, size_t kVectors>
inline void MixValues(const AttentionTask& task, const float* scores, size_t stride,
                      const float* sums, size_t d, float* out) {
  Floats acc[kHeads][kVectors];
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t v = 0; v < kVectors; ++v) {
      acc[h][v] = Broadcast(0.0f);
    }
  }
  for (size_t begin = 0; begin < task.num_keys; begin += kBlockSize) {
    const Element* values = CacheBlock<Element>(task, begin / kBlockSize) + task.value_offset + d;
    const size_t left = task.num_keys - begin;
    const size_t count = left < kBlockSize ? left : kBlockSize;
    for (size_t j = 0; j < count; ++j) {
      Floats value[kVectors];
      for (size_t v = 0; v < kVectors; ++v) {
        value[v] = LoadElements(values + j * task.head_dim + v * 16);
      }
      for (size_t h = 0; h < kHeads; ++h) {
        const Floats p = Broadcast(scores[h * stride + begin + j]);
        for (size_t v = 0; v < kVectors; ++v) {
          acc[h][v] = Fma(p, value[v], acc[h][v]);
        }
      }
    }
  }
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t v = 0; v < kVectors; ++v) {
      Store(Div(acc[h][v], Broadcast(sums[h])), out + h * task.head_dim + d + v * 16);
    }
  }
}

template <class Element, size_t kHeads>
inline void AttendHeads(const AttentionTask& task, size_t head) {
  const size_t stride = RoundUp(task.num_keys, kBlockSize);
  const size_t num_blocks = stride / kBlockSize;
  const float* queries = task.queries + head * task.head_dim;
  float* scores = task.scores + head * stride;
  float* out = task.out + head * task.head_dim;

  size_t block = 0;
  for (; block + kBlockColumns <= num_blocks; block += kBlockColumns) {
    ScoreBlocks<Element, kHeads, kBlockColumns>(task, queries, block, scores, stride);
  }
  for (; block < num_blocks; ++block) {
    ScoreBlocks<Element, kHeads, 1>(task, queries, block, scores, stride);
  }

  float sums[kHeads];
  for (size_t h = 0; h < kHeads; ++h) {
    sums[h] = Softmax(scores + h * stride, task.num_keys);
  }

  size_t d = 0;
  for (; d + kBlockColumns * 16 <= task.head_dim; d += kBlockColumns * 16) {
    MixValues<Element, kHeads, kBlockColumns>(task, scores, stride, sums, d, out);
  }
  for (; d < task.head_dim; d += 16) {
    MixValues<Element, kHeads, 1>(task, scores, stride, sums, d, out);
  }
}

template <class Element>
inline void AttendAll(const AttentionTask& task) {
  size_t head = 0;
  for (; head + kBlockRows <= task.group; head += kBlockRows) {
    AttendHeads<Element, kBlockRows>(task, head);
  }
  for (; head < task.group; ++head) {
    AttendHeads<Element, 1>(task, head);
  }
}

inline void Attention(const AttentionTask* task) {
  if (task->kv_type == kKvFloat32) {
    AttendAll<float>(*task);
  } else {
    AttendAll<uint16_t>(*task);
  }
}

}  // namespace
}  // namespace tercet
