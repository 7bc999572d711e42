// Attention of consecutive positions over the blocks of the cache.
//
// A block's keys lie as a column per token, so the 16 lanes are 16 tokens: each lane runs over d by
// itself and no sum crosses lanes. Values lie as a row per token, so there the lanes are 16
// dimensions. Heads that share keys go through them together: kBlockRows heads × kBlockColumns
// vectors of lanes. All positions go through a panel of four blocks, which L1 holds, before the
// next one, and while the first does, the panel after it is asked for: one position alone is bound
// by memory, many by arithmetic.
#pragma once

#include "kernels/generic/attention_int8.h"
#include "kernels/generic/attention_weights.h"

namespace tercet {
namespace {

inline Floats LoadElements(const uint16_t* from) { return LoadBf16(from); }
inline Floats LoadElements(const float* from) { return Load(from); }

// dot * scale of kHeads heads with the keys of blocks [first, first + kBlocks).
template <class Element, size_t kHeads, size_t kBlocks>
inline void ScoreBlocks(const AttentionTask& task, size_t row, size_t first, bool ask) {
  const float* queries =
      task.queries + row / task.group * task.query_stride + row % task.group * task.head_dim;
  const Element* keys[kBlocks];
  const Element* next[kBlocks];
#pragma GCC unroll 4
  for (size_t b = 0; b < kBlocks; ++b) {
    keys[b] = CacheBlock<Element>(task, first + b) + task.key_offset;
    next[b] = ask ? CacheBlock<Element>(task, first + b + kPanelBlocks) + task.key_offset : keys[b];
  }
  constexpr size_t kLineColumns = 64 / (kBlockSize * sizeof(Element));  // of a cache line
  Floats dots[kHeads][kBlocks];
#pragma GCC unroll 4
  for (size_t h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; ++b) {
      dots[h][b] = Broadcast(0.0f);
    }
  }
  for (size_t begin = 0; begin < task.head_dim; begin += kLineColumns) {
    if (ask) {
#pragma GCC unroll 4
      for (size_t b = 0; b < kBlocks; ++b) {
        __builtin_prefetch(next[b] + begin * kBlockSize);
      }
    }
    for (size_t d = begin; d < begin + kLineColumns; ++d) {
      Floats k[kBlocks];
#pragma GCC unroll 4
      for (size_t b = 0; b < kBlocks; ++b) {
        k[b] = LoadElements(keys[b] + d * kBlockSize);
      }
#pragma GCC unroll 4
      for (size_t h = 0; h < kHeads; ++h) {
        const Floats q = Broadcast(queries[h * task.head_dim + d]);
#pragma GCC unroll 4
        for (size_t b = 0; b < kBlocks; ++b) {
          dots[h][b] = Fma(q, k[b], dots[h][b]);
          Pin(dots[h][b]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (size_t h = 0; h < kHeads; ++h) {
    float* scores = task.scores + (row + h) * task.scores_stride;
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; ++b) {
      Store(Mul(dots[h][b], Broadcast(task.scale)), scores + (first + b) * kBlockSize);
    }
  }
}

// Dimensions [d, d + 16 * kVectors) of kHeads heads, keys [begin, end): goes on from what `out`
// holds unless begin is 0, and divides by the sum of weights if these keys are the row's last.
template <class Element, size_t kHeads, size_t kVectors>
inline void MixValues(const AttentionTask& task, size_t row, size_t begin, size_t end, size_t d,
                      bool ask) {
  const float* weights = task.scores + row * task.scores_stride;
  float* out = OutOf(task, row) + d;
  Floats acc[kHeads][kVectors];
  LoadMixed(task, out, begin, acc);
  for (size_t j = begin; j < end;) {
    const Element* values = CacheBlock<Element>(task, j / kBlockSize) + task.value_offset + d;
    const Element* next =
        ask ? CacheBlock<Element>(task, j / kBlockSize + kPanelBlocks) + task.value_offset + d
            : values;
    const size_t block_end = end - j < kBlockSize ? end : j + kBlockSize;
    for (; j < block_end; ++j, values += task.head_dim, next += task.head_dim) {
      Floats value[kVectors];
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) {
        value[v] = LoadElements(values + v * 16);
        if (ask && v * 16 * sizeof(Element) % 64 == 0) {
          __builtin_prefetch(next + v * 16);
        }
      }
#pragma GCC unroll 4
      for (size_t h = 0; h < kHeads; ++h) {
        const Floats p = Broadcast(weights[h * task.scores_stride + j]);
#pragma GCC unroll 4
        for (size_t v = 0; v < kVectors; ++v) {
          acc[h][v] = Fma(p, value[v], acc[h][v]);
          Pin(acc[h][v]);
        }
      }
    }
  }
  StoreMixed(task, row, out, end, acc);
}

// What a type of keys and values is, to the loops of attention_weights.h.
template <class Element>
struct FloatCache {
  template <size_t kHeads, size_t kBlocks>
  static void Score(const AttentionTask& task, size_t row, size_t first, bool ask) {
    ScoreBlocks<Element, kHeads, kBlocks>(task, row, first, ask);
  }
  template <size_t kHeads, size_t kVectors>
  static void Mix(const AttentionTask& task, size_t row, size_t begin, size_t end, size_t d,
                  bool ask) {
    MixValues<Element, kHeads, kVectors>(task, row, begin, end, d, ask);
  }
  static constexpr size_t kMixVectors = kBlockColumns;
};

inline void AttentionScores(const AttentionTask* task, size_t block_begin, size_t block_end) {
  switch (task->kv_type) {
    case kKvFloat32:
      return ScoreAll<FloatCache<float>>(*task, block_begin, block_end);
    case kKvInt8:
      return ScoreAll<Int8Cache>(*task, block_begin, block_end);
    case kKvBf16:
      return ScoreAll<FloatCache<uint16_t>>(*task, block_begin, block_end);
  }
}

inline void AttentionWeights(const AttentionTask* task, size_t row_begin, size_t row_end) {
  for (size_t row = row_begin; row < row_end; ++row) {
    float* scores = task->scores + row * task->scores_stride;
    const size_t num_keys = KeysOf(*task, row);
    task->sums[row] = Softmax(scores, num_keys);
    if (task->kv_type == kKvInt8) {
      QuantizeWeights(*task, scores, num_keys);
    }
  }
}

inline void AttentionValues(const AttentionTask* task, size_t begin, size_t end) {
  switch (task->kv_type) {
    case kKvFloat32:
      return MixAll<FloatCache<float>>(*task, begin, end);
    case kKvInt8:
      return MixAll<Int8Cache>(*task, begin, end);
    case kKvBf16:
      return MixAll<FloatCache<uint16_t>>(*task, begin, end);
  }
}

constexpr AttentionKernels kAttention = {
    .quantize_query = QuantizeQuery,
    .store_int8 = StoreInt8,
    .scores = AttentionScores,
    .weights = AttentionWeights,
    .values = AttentionValues,
};

}  // namespace
}  // namespace tercet
