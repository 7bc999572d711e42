// Attention over int8 keys and values: sums of integers, so any order of them is exact.
//
// Four bytes of a 32-bit lane are four dimensions of a key, or four tokens' values of a dimension.
// They are widened to 16 bits, once for all heads, and multiplied in pairs, which leaves 13 bits to
// the queries and 15 to the weights at no cost. The four factors of a lane are kept in the order in
// which `DotQuads` takes them. A block's weights are quantised against its own largest: one key
// that takes nearly all the attention rounds away only its 15 neighbours.
#pragma once

#include "kernels/generic/attention_weights.h"
#include "kernels/generic/rows.h"

namespace tercet {
namespace {

// A block's quantised weights take the place of its 16 scores: 16 factors, then what they are to be
// multiplied by.
constexpr size_t kWeightScale = kBlockSize / 2;

inline const float* ScalesOf(const int8_t* elements, size_t head_dim) {
  return reinterpret_cast<const float*>(elements + head_dim * kBlockSize);
}

inline void QuantizeQuery(const float* x, size_t head_dim, int16_t* values, float* scale) {
  const auto limit = static_cast<float>(HeadLimit(head_dim));
  const float a = LargestMagnitude(x, head_dim, 1e-5f);
  const Floats s = Broadcast(limit / a);
  for (size_t d = 0; d < head_dim; d += 16) {
    const Floats scaled = RoundHalfEven(Mul(Load(x + d), s));
    StoreFactors(ToWords(Clip(scaled, Broadcast(-limit), Broadcast(limit))), values + d);
  }
  *scale = a / limit;
}

// Writes `count` groups of four bytes, `stride` bytes apart from one group to the next.
inline float StoreQuantized(const float* x, size_t head_dim, int8_t* to, size_t group,
                            size_t stride) {
  const float a = LargestMagnitude(x, head_dim, 1e-5f);
  const Floats s = Broadcast(127.0f / a);
  for (size_t d = 0; d < head_dim; d += 16) {
    const Floats scaled = RoundHalfEven(Mul(Load(x + d), s));
    int8_t bytes[16];
    StoreBytes(ToWords(Clip(scaled, Broadcast(-127.0f), Broadcast(127.0f))), bytes);
    for (size_t i = 0; i < 16; i += group) {
      memcpy(to + (d + i) / group * stride, bytes + i, group);
    }
  }
  return a / 127.0f;
}

inline void StoreInt8(const float* key, const float* value, size_t head_dim, size_t offset,
                      int8_t* key_block, int8_t* value_block) {
  const float key_scale = StoreQuantized(key, head_dim, key_block + offset * 4, 4, kBlockSize * 4);
  const float value_scale =
      StoreQuantized(value, head_dim, value_block + offset / 4 * head_dim * 4 + offset % 4, 1, 4);
  const size_t place = head_dim * kBlockSize + offset * sizeof(float);
  memcpy(key_block + place, &key_scale, sizeof key_scale);
  memcpy(value_block + place, &value_scale, sizeof value_scale);
}

inline void QuantizeWeights(const AttentionTask& task, float* weights, size_t num_keys) {
  ForLanes(num_keys, [&](size_t j, auto part) {  // lanes that do not exist are 0 from the start
    const int8_t* values = CacheBlock<int8_t>(task, j / kBlockSize) + task.value_offset;
    const Floats scales = Load(ScalesOf(values, task.head_dim), part);
    const Floats scaled = Mul(Load(weights + j, part), scales);
    const float largest = MaxOf(scaled);
    const float a = largest > 1e-30f ? largest : 1e-30f;
    const Floats integers = RoundHalfEven(Mul(scaled, Broadcast(32767.0f / a)));
    const Floats clipped = Clip(integers, Broadcast(0.0f), Broadcast(32767.0f));
    StoreFactors(ToWords(clipped), weights + j);
    weights[j + kWeightScale] = a / 32767.0f;
  });
}

struct Int8Cache {
  // Eight sums of integers and eight of floats, beside the operands.
  static constexpr size_t kMixVectors = kBlockColumns > 1 ? 2 : 1;

  template <size_t kHeads, size_t kBlocks>
  static void Score(const AttentionTask& task, size_t row, size_t first, bool ask) {
    const size_t t = row / task.group;
    const size_t head = row % task.group;
    const int16_t* queries = task.wide_queries + t * task.wide_stride + head * task.head_dim;
    const float* query_scales = task.query_scales + t * task.query_scale_stride + head;
    const int8_t* keys[kBlocks];
    const int8_t* next[kBlocks];
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; ++b) {
      keys[b] = CacheBlock<int8_t>(task, first + b) + task.key_offset;
      next[b] =
          ask ? CacheBlock<int8_t>(task, first + b + kPanelBlocks) + task.key_offset : keys[b];
    }
    Words dots[kHeads][kBlocks];
#pragma GCC unroll 4
    for (size_t h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
      for (size_t b = 0; b < kBlocks; ++b) {
        dots[h][b] = BroadcastWord(0);
      }
    }
    for (size_t d = 0; d < task.head_dim; d += 4) {
      if (ask) {
#pragma GCC unroll 4
        for (size_t b = 0; b < kBlocks; ++b) {
          __builtin_prefetch(next[b] + d * kBlockSize);
        }
      }
      Factors q[kHeads];
#pragma GCC unroll 4
      for (size_t h = 0; h < kHeads; ++h) {
        q[h] = LoadFactors(queries + h * task.head_dim + d);
      }
#pragma GCC unroll 4
      for (size_t b = 0; b < kBlocks; ++b) {
        const Quads k = LoadQuads(keys[b] + d * kBlockSize);
#pragma GCC unroll 4
        for (size_t h = 0; h < kHeads; ++h) {
          dots[h][b] = DotQuads(k, q[h], dots[h][b]);
        }
      }
    }
#pragma GCC unroll 4
    for (size_t h = 0; h < kHeads; ++h) {
      float* scores = task.scores + (row + h) * task.scores_stride;
      const Floats scale = Broadcast(query_scales[h] * task.scale);
#pragma GCC unroll 4
      for (size_t b = 0; b < kBlocks; ++b) {
        const Floats scales = Mul(scale, Load(ScalesOf(keys[b], task.head_dim)));
        Store(Mul(ToFloats(dots[h][b]), scales), scores + (first + b) * kBlockSize);
      }
    }
  }

  template <size_t kHeads, size_t kVectors>
  static void Mix(const AttentionTask& task, size_t row, size_t begin, size_t end, size_t d,
                  bool ask) {
    const float* weights = task.scores + row * task.scores_stride;
    float* out = OutOf(task, row) + d;
    Floats acc[kHeads][kVectors];
    LoadMixed(task, out, begin, acc);
    for (size_t block = begin / kBlockSize; block * kBlockSize < end; ++block) {
      const int8_t* values = CacheBlock<int8_t>(task, block) + task.value_offset + d * 4;
      const int8_t* next =
          ask ? CacheBlock<int8_t>(task, block + kPanelBlocks) + task.value_offset + d * 4 : values;
      Words sums[kHeads][kVectors];
#pragma GCC unroll 4
      for (size_t h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
        for (size_t v = 0; v < kVectors; ++v) {
          sums[h][v] = BroadcastWord(0);
        }
      }
      for (size_t j = 0; j < kBlockSize; j += 4) {
        Quads value[kVectors];
#pragma GCC unroll 4
        for (size_t v = 0; v < kVectors; ++v) {
          value[v] = LoadQuads(values + j * task.head_dim + v * 64);
          if (ask) {
            __builtin_prefetch(next + j * task.head_dim + v * 64);
          }
        }
#pragma GCC unroll 4
        for (size_t h = 0; h < kHeads; ++h) {
          const Factors p =
              LoadFactors(weights + h * task.scores_stride + block * kBlockSize + j / 2);
#pragma GCC unroll 4
          for (size_t v = 0; v < kVectors; ++v) {
            sums[h][v] = DotQuads(value[v], p, sums[h][v]);
          }
        }
      }
#pragma GCC unroll 4
      for (size_t h = 0; h < kHeads; ++h) {
        const Floats scale =
            Broadcast(weights[h * task.scores_stride + block * kBlockSize + kWeightScale]);
#pragma GCC unroll 4
        for (size_t v = 0; v < kVectors; ++v) {
          acc[h][v] = Fma(ToFloats(sums[h][v]), scale, acc[h][v]);
        }
      }
    }
    StoreMixed(task, row, out, end, acc);
  }
};

}  // namespace
}  // namespace tercet
