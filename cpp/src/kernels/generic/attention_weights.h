// What attention has in common for every type of keys and values: the softmax between the two
// products, and the order in which rows, panels of blocks and dimensions are gone through.
#pragma once

#include "kernels/generic/math.h"

namespace tercet {
namespace {

// Blocks that all positions go through before the next ones: 16 KB of bfloat16 keys for a head of
// 128 dimensions.
constexpr size_t kPanelBlocks = 4;
static_assert(kPanelBlocks % kBlockColumns == 0);

template <class Element>
inline const Element* CacheBlock(const AttentionTask& task, size_t index) {
  return static_cast<const Element*>(task.cache) +
         static_cast<size_t>(task.block_table[index]) * task.block_stride;
}

inline size_t KeysOf(const AttentionTask& task, size_t row) {
  return task.num_keys + row / task.group;
}

inline float* OutOf(const AttentionTask& task, size_t row) {
  return task.out + row / task.group * task.out_stride + row % task.group * task.head_dim;
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

// Sums of weighted values lie in `out` between two panels of keys.
template <size_t kHeads, size_t kVectors>
inline void LoadMixed(const AttentionTask& task, const float* out, size_t begin,
                      Floats (&acc)[kHeads][kVectors]) {
#pragma GCC unroll 4
  for (size_t h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      acc[h][v] = begin == 0 ? Broadcast(0.0f) : Load(out + h * task.head_dim + v * 16);
    }
  }
}

template <size_t kHeads, size_t kVectors>
inline void StoreMixed(const AttentionTask& task, size_t row, float* out, size_t end,
                       const Floats (&acc)[kHeads][kVectors]) {
  const bool last = end == KeysOf(task, row);
#pragma GCC unroll 4
  for (size_t h = 0; h < kHeads; ++h) {
    const Floats sum = Broadcast(task.sums[row + h]);
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      Store(last ? Div(acc[h][v], sum) : acc[h][v], out + h * task.head_dim + v * 16);
    }
  }
}

// Calls body(row, heads) for the rows of every position, kBlockRows heads at a time while there are
// as many; heads.value is their number.
template <size_t kNumber>
struct Number {
  static constexpr size_t value = kNumber;
};
template <class Body>
inline void ForRows(const AttentionTask& task, Body body) {
  for (size_t t = 0; t < task.num_queries; ++t) {
    size_t head = 0;
    for (; head + kBlockRows <= task.group; head += kBlockRows) {
      body(t * task.group + head, Number<kBlockRows>{});
    }
    for (; head < task.group; ++head) {
      body(t * task.group + head, Number<1>{});
    }
  }
}

template <class Cache>
inline void ScoreAll(const AttentionTask& task, size_t block_begin, size_t block_end) {
  for (size_t panel = block_begin; panel < block_end; panel += kPanelBlocks) {
    const size_t end = block_end - panel < kPanelBlocks ? block_end : panel + kPanelBlocks;
    ForRows(task, [&](size_t row, auto heads) {
      const size_t num_askable =
          row == 0 && block_end > kPanelBlocks ? block_end - kPanelBlocks : 0;
      size_t block = panel;
      for (; block + kBlockColumns <= end; block += kBlockColumns) {
        Cache::template Score<heads.value, kBlockColumns>(task, row, block,
                                                          block + kBlockColumns <= num_askable);
      }
      for (; block < end; ++block) {
        Cache::template Score<heads.value, 1>(task, row, block, block < num_askable);
      }
    });
  }
}

template <class Cache>
inline void MixAll(const AttentionTask& task, size_t begin, size_t end) {
  constexpr size_t kPanelKeys = kPanelBlocks * kBlockSize;
  constexpr size_t kWide = Cache::kMixVectors * 16;
  const size_t most_keys = task.num_keys + task.num_queries - 1;
  for (size_t panel = 0; panel < most_keys; panel += kPanelKeys) {
    ForRows(task, [&](size_t row, auto heads) {
      const size_t num_keys = KeysOf(task, row);
      if (panel >= num_keys) {
        return;
      }
      const size_t panel_end = num_keys - panel < kPanelKeys ? num_keys : panel + kPanelKeys;
      const bool ask = row == 0 && panel + 2 * kPanelKeys <= num_keys;
      size_t d = begin;
      for (; d + kWide <= end; d += kWide) {
        Cache::template Mix<heads.value, Cache::kMixVectors>(task, row, panel, panel_end, d, ask);
      }
      for (; d < end; d += 16) {
        Cache::template Mix<heads.value, 1>(task, row, panel, panel_end, d, ask);
      }
    });
  }
}

}  // namespace
}  // namespace tercet
