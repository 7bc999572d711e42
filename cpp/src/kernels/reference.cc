// The meaning of every kernel, in the order of the contract's formulas. Plain loops for the
// baseline CPU: it is what the other sets are tested against, and what runs where none of them can.
//
// Ternary codes are kept four to a byte, row by row; the head as the contract says.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/reference_math.h"

namespace tercet {

extern const Kernels kReferenceKernels;

namespace {

constexpr size_t kLanes = 16;

// Where an operand is NaN these give b, as x86's instructions do.
float Max(float a, float b) { return a > b ? a : b; }
float Min(float a, float b) { return a < b ? a : b; }

float Clip(float x, float low, float high) { return Max(Min(x, high), low); }

float Widen(uint16_t bfloat16) { return FloatOf(static_cast<uint32_t>(bfloat16) << 16); }

uint16_t Narrow(float value) {
  const uint32_t bits = BitsOf(value);
  if (value != value) {
    return static_cast<uint16_t>((bits >> 16) | 0x40u);
  }
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The fixed shape of a reduction: element i goes to lane i % 16, then the lanes join as a tree.
struct Lanes {
  float of[kLanes] = {};

  float Sum() const {
    float l[kLanes];
    memcpy(l, of, sizeof l);
    for (size_t half = kLanes / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) {
        l[i] = l[i] + l[i + half];
      }
    }
    return l[0];
  }

  float Largest() const {
    float l[kLanes];
    memcpy(l, of, sizeof l);
    for (size_t half = kLanes / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) {
        l[i] = Max(l[i], l[i + half]);
      }
    }
    return l[0];
  }
};

float LargestMagnitude(const float* x, size_t n, float floor = 1e-5f) {
  Lanes largest;
  for (size_t i = 0; i < n; ++i) {
    largest.of[i % kLanes] = Max(largest.of[i % kLanes], fabsf(x[i]));
  }
  return Max(largest.Largest(), floor);
}

// ---- Ternary matrices ----

size_t TernaryRowBytes(size_t cols) { return RoundUp(cols, kColumnAlign) / 4; }

size_t TernaryBytes(size_t rows, size_t cols) {
  return RoundUp(rows, kTileRows) * TernaryRowBytes(cols);
}

void TernaryPack(const uint8_t* codes, size_t, size_t cols, size_t tile, uint8_t* packed) {
  const size_t row_bytes = TernaryRowBytes(cols);
  uint8_t* out = packed + tile * kTileRows * row_bytes;
  memset(out, 0x55, kTileRows * row_bytes);
  for (size_t n = 0; n < kTileRows; ++n) {
    for (size_t k = 0; k < cols; ++k) {
      uint8_t& byte = out[n * row_bytes + k / 4];
      const unsigned shift = 2 * (k % 4);
      byte =
          static_cast<uint8_t>((byte & ~(3u << shift)) | (unsigned{codes[n * cols + k]} << shift));
    }
  }
}

void TernaryGemm(const TernaryMatrix* w, const Int8Rows* x, size_t tile_begin, size_t tile_end,
                 float* out, size_t out_stride) {
  const size_t row_bytes = TernaryRowBytes(w->cols);
  const size_t end = tile_end * kTileRows < w->rows ? tile_end * kTileRows : w->rows;
  for (size_t n = tile_begin * kTileRows; n < end; ++n) {
    const uint8_t* row = w->packed + n * row_bytes;
    for (size_t m = 0; m < x->num_rows; ++m) {
      const int8_t* values = x->values + m * x->stride;
      int32_t sum = 0;
      for (size_t k = 0; k < w->cols; ++k) {
        sum += values[k] * (((row[k / 4] >> (2 * (k % 4))) & 3) - 1);
      }
      out[m * out_stride + n] = static_cast<float>(sum) * (x->scales[m] * w->row_scales[n]);
    }
  }
}

// The same rows, and after a tile's codes its scales, [kTileRows][num_groups].

size_t GroupedTileBytes(size_t cols, size_t group) {
  return kTileRows * (TernaryRowBytes(cols) + NumGroups(cols, group) * sizeof(uint16_t));
}

size_t GroupedBytes(size_t rows, size_t cols, size_t group) {
  return RoundUp(rows, kTileRows) / kTileRows * GroupedTileBytes(cols, group);
}

void GroupedPack(const uint8_t* codes, const uint16_t* scales, size_t cols, size_t group,
                 size_t tile, uint8_t* packed) {
  uint8_t* out = packed + tile * GroupedTileBytes(cols, group);
  TernaryPack(codes, kTileRows, cols, 0, out);
  memcpy(out + kTileRows * TernaryRowBytes(cols), scales,
         kTileRows * NumGroups(cols, group) * sizeof *scales);
}

void GroupedGemm(const GroupedMatrix* w, const GroupedRows* x, size_t tile_begin, size_t tile_end,
                 float* out, size_t out_stride) {
  const size_t row_bytes = TernaryRowBytes(w->cols);
  const size_t num_groups = NumGroups(w->cols, w->group);
  const size_t end = tile_end * kTileRows < w->rows ? tile_end * kTileRows : w->rows;
  for (size_t n = tile_begin * kTileRows; n < end; ++n) {
    const uint8_t* tile = w->packed + n / kTileRows * GroupedTileBytes(w->cols, w->group);
    const uint8_t* row = tile + n % kTileRows * row_bytes;
    const uint8_t* scales = tile + kTileRows * row_bytes;
    for (size_t m = 0; m < x->num_rows; ++m) {
      float acc = 0.0f;
      for (size_t g = 0; g < num_groups; ++g) {
        int32_t sum = 0;
        for (size_t k = g * w->group; k < (g + 1) * w->group && k < w->cols; ++k) {
          sum += x->values[m * x->stride + k] * (((row[k / 4] >> (2 * (k % 4))) & 3) - 1);
        }
        uint16_t half = 0;
        memcpy(&half, scales + (n % kTileRows * num_groups + g) * sizeof half, sizeof half);
        const float scale = FloatOfHalf(half) * x->scales[m * num_groups + g];
        acc = fmaf(static_cast<float>(sum), scale, acc);
      }
      out[m * out_stride + n] = acc * w->row_scales[n];
    }
  }
}

// ---- The head ----

// Activations are int16, as many as there are columns.
void HeadQuantize(const float* x, size_t cols, uint8_t* values, float* scale, int32_t* sum) {
  const auto limit = static_cast<float>(HeadLimit(cols));
  const float a = LargestMagnitude(x, cols);
  const float s = limit / a;
  auto* out = reinterpret_cast<int16_t*>(values);
  memset(out, 0, RoundUp(cols, kHeadAlign) * sizeof *out);
  *sum = 0;
  for (size_t k = 0; k < cols; ++k) {
    out[k] = static_cast<int16_t>(Clip(nearbyintf(x[k] * s), -limit, limit));
    *sum += out[k];
  }
  *scale = a / limit;
}

// A weight of a row whose largest magnitude is `a`.
int32_t HeadWeight(uint16_t weight, float a) {
  const float inverse = a == 0.0f ? 0.0f : 127.0f / a;
  return static_cast<int32_t>(Clip(nearbyintf(Widen(weight) * inverse), -127.0f, 127.0f));
}

float LargestMagnitude(const uint16_t* row, size_t cols) {
  Lanes largest;
  for (size_t k = 0; k < cols; ++k) {
    largest.of[k % kLanes] = Max(largest.of[k % kLanes], fabsf(Widen(row[k])));
  }
  return largest.Largest();
}

// Column k of a row of one plane, given where the row begins.
uint32_t NibbleOf(const uint8_t* row, size_t k) {
  const uint8_t byte = row[k / 8 * kHeadLineBytes + k % 4];
  return k % 8 < 4 ? byte & 15u : byte >> 4;
}

void SetNibble(uint8_t* row, size_t k, uint32_t nibble) {
  uint8_t& byte = row[k / 8 * kHeadLineBytes + k % 4];
  byte = static_cast<uint8_t>(k % 8 < 4 ? (byte & 0xf0u) | nibble : (byte & 0x0fu) | nibble << 4);
}

void HeadPack(const uint16_t* row, size_t cols, uint8_t* high, uint8_t* low, HeadRow* facts) {
  const float a = LargestMagnitude(row, cols);
  *facts = {a == 0.0f ? 1.0f : a / 127.0f, 0, 0, 0};
  for (size_t k = 0; k < RoundUp(cols, kHeadAlign); ++k) {
    const int32_t w = k < cols ? HeadWeight(row[k], a) : 0;
    const auto code = static_cast<uint32_t>(w + 128);
    const auto v = static_cast<int32_t>(32 * (code >> 4)) - 241;
    if (k < cols) {
      facts->squares += int64_t{w} * w;
      facts->products += int64_t{w} * v;
      facts->middles += int64_t{v} * v;
    }
    if (high != nullptr) {
      SetNibble(high, k, code >> 4);
    }
    if (low != nullptr) {
      SetNibble(low, k, code & 15u);
    }
  }
}

int32_t HeadDot(const uint16_t* row, size_t cols, const WideRows* x) {
  const auto* values = reinterpret_cast<const int16_t*>(x->values);
  const float a = LargestMagnitude(row, cols);
  int32_t sum = 0;
  for (size_t k = 0; k < cols; ++k) {
    sum += values[k] * HeadWeight(row[k], a);
  }
  return sum;
}

// Calls put(m, n, values, place) for all tokens and the rows of some tiles: the token's values and
// where the row begins in both planes.
template <class Put>
void ForHeadRows(const HeadMatrix& w, const WideRows& x, size_t tile_begin, size_t tile_end,
                 Put put) {
  for (size_t n = tile_begin * kTileRows; n < w.rows && n < tile_end * kTileRows; ++n) {
    const size_t place = HeadRowPlace(n, w.cols);
    for (size_t m = 0; m < x.num_rows; ++m) {
      put(m, n, reinterpret_cast<const int16_t*>(x.values + m * x.stride), place);
    }
  }
}

void HeadDots(const HeadMatrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
              int32_t* out, size_t out_stride) {
  const auto put = [&](size_t m, size_t n, const int16_t* values, size_t place) {
    int64_t sum = 0;
    for (size_t k = 0; k < w->cols; ++k) {
      sum += int64_t{values[k]} * NibbleOf(w->high + place, k);
    }
    out[m * out_stride + n] = static_cast<int32_t>(sum);
  };
  ForHeadRows(*w, *x, tile_begin, tile_end, put);
}

void HeadGemm(const HeadMatrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
              float* out, size_t out_stride) {
  const auto put = [&](size_t m, size_t n, const int16_t* values, size_t place) {
    int32_t sum = 0;
    for (size_t k = 0; k < w->cols; ++k) {
      const uint32_t code = 16 * NibbleOf(w->high + place, k) + NibbleOf(w->low + place, k);
      sum += values[k] * (static_cast<int32_t>(code) - 128);
    }
    out[m * out_stride + n] = static_cast<float>(sum) * (x->scales[m] * w->row_scales[n]);
  };
  ForHeadRows(*w, *x, tile_begin, tile_end, put);
}

size_t ScreenTokens(const Screen* screen, uint32_t* tokens, float* uppers, float* bar) {
  const Screen& s = *screen;
  float highest = -INFINITY;
  size_t count = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t n = s.begin; n < s.end; ++n) {
      const uint32_t centred =
          16 * static_cast<uint32_t>(s.sums[n]) + static_cast<uint32_t>(s.offset);
      const float a =
          (static_cast<float>(static_cast<int32_t>(centred)) + s.lift) * (s.scale * s.scales[n]);
      const float e = s.reach * s.margins[n];
      const float noise = s.key == nullptr ? 0.0f : Gumbel(*s.key, n);
      float upper = (a + e) * s.inverse_temperature;
      float lower = (a - e) * s.inverse_temperature;
      if (s.key != nullptr) {
        upper = upper + noise;
        lower = lower + noise;
      }
      if (pass == 0) {
        highest = Max(lower, highest);
      } else if (upper >= highest) {
        tokens[count] = static_cast<uint32_t>(n);
        uppers[count++] = upper;
      }
    }
  }
  *bar = highest;
  return count;
}

void Bf16Gemm(const uint16_t* table, size_t table_stride, size_t cols, size_t row_begin,
              size_t row_end, const float* x, size_t num_rows, size_t x_stride, float* out,
              size_t out_stride) {
  for (size_t n = row_begin; n < row_end; ++n) {
    for (size_t m = 0; m < num_rows; ++m) {
      Lanes sum;
      for (size_t k = 0; k < cols; ++k) {
        float& lane = sum.of[k % kLanes];
        lane = fmaf(x[m * x_stride + k], Widen(table[n * table_stride + k]), lane);
      }
      out[m * out_stride + n] = sum.Sum();
    }
  }
}

// ---- Rows of floats ----

void RmsNorm(const float* x, const float* weight, size_t n, float eps, float* out) {
  Lanes squares;
  for (size_t i = 0; i < n; ++i) {
    squares.of[i % kLanes] = fmaf(x[i], x[i], squares.of[i % kLanes]);
  }
  const float r = 1.0f / sqrtf(squares.Sum() / static_cast<float>(n) + eps);
  for (size_t i = 0; i < n; ++i) {
    out[i] = (x[i] * r) * weight[i];
  }
}

void Quantize(const float* x, size_t n, float floor, int8_t* values, float* scale, int32_t* sum) {
  const float a = LargestMagnitude(x, n, floor);
  const float s = 127.0f / a;
  memset(values, 0, RoundUp(n, kColumnAlign));
  *sum = 0;
  for (size_t i = 0; i < n; ++i) {
    values[i] = static_cast<int8_t>(Clip(nearbyintf(x[i] * s), -128.0f, 127.0f));
    *sum += values[i];
  }
  *scale = a / 127.0f;
}

void Relu2Mul(float* gate, const float* up, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const float r = Max(gate[i], 0.0f);
    gate[i] = (r * r) * up[i];
  }
}

void SiluMul(float* gate, const float* up, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    gate[i] = (gate[i] / (1.0f + Exp(-gate[i]))) * up[i];
  }
}

void Add(float* x, const float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    x[i] = x[i] + y[i];
  }
}

void Rope(float* x, const float* cos, const float* sin, size_t head_dim) {
  const size_t h = head_dim / 2;
  for (size_t j = 0; j < h; ++j) {
    const float a = x[j];
    const float b = x[j + h];
    x[j] = fmaf(a, cos[j], -(b * sin[j]));
    x[j + h] = fmaf(b, cos[j], a * sin[j]);
  }
}

void StoreKv(const float* key, const float* value, size_t head_dim, size_t offset,
             uint16_t* key_block, uint16_t* value_block) {
  for (size_t d = 0; d < head_dim; ++d) {
    key_block[d * kBlockSize + offset] = Narrow(key[d]);
    value_block[offset * head_dim + d] = Narrow(value[d]);
  }
}

// ---- Attention ----

void QuantizeQuery(const float* x, size_t head_dim, int16_t* values, float* scale) {
  const auto limit = static_cast<float>(HeadLimit(head_dim));
  const float a = LargestMagnitude(x, head_dim);
  const float s = limit / a;
  for (size_t d = 0; d < head_dim; ++d) {
    values[d] = static_cast<int16_t>(Clip(nearbyintf(x[d] * s), -limit, limit));
  }
  *scale = a / limit;
}

// Where dimension d of the token in slot j of a block lies.
size_t KeyPlace(KvType type, size_t j, size_t d) {
  return type == kKvInt8 ? (d / 4 * kBlockSize + j) * 4 + d % 4 : d * kBlockSize + j;
}
size_t ValuePlace(KvType type, size_t head_dim, size_t j, size_t d) {
  return type == kKvInt8 ? (j / 4 * head_dim + d) * 4 + j % 4 : j * head_dim + d;
}

void StoreInt8(const float* key, const float* value, size_t head_dim, size_t offset,
               int8_t* key_block, int8_t* value_block) {
  const float key_largest = LargestMagnitude(key, head_dim);
  const float value_largest = LargestMagnitude(value, head_dim);
  for (size_t d = 0; d < head_dim; ++d) {
    const float k = Clip(nearbyintf(key[d] * (127.0f / key_largest)), -127.0f, 127.0f);
    const float v = Clip(nearbyintf(value[d] * (127.0f / value_largest)), -127.0f, 127.0f);
    key_block[KeyPlace(kKvInt8, offset, d)] = static_cast<int8_t>(k);
    value_block[ValuePlace(kKvInt8, head_dim, offset, d)] = static_cast<int8_t>(v);
  }
  const size_t scale_place = head_dim * kBlockSize + offset * sizeof(float);
  const float key_scale = key_largest / 127.0f;
  const float value_scale = value_largest / 127.0f;
  memcpy(key_block + scale_place, &key_scale, sizeof key_scale);
  memcpy(value_block + scale_place, &value_scale, sizeof value_scale);
}

// Element `place` of a block's keys or values, which begin at `offset`.
size_t CachePlace(const AttentionTask& task, size_t block, size_t offset, size_t place) {
  return static_cast<size_t>(task.block_table[block]) * task.block_stride + offset + place;
}

float CacheElement(const AttentionTask& task, size_t place) {
  return task.kv_type == kKvFloat32 ? static_cast<const float*>(task.cache)[place]
                                    : Widen(static_cast<const uint16_t*>(task.cache)[place]);
}

int32_t CacheInteger(const AttentionTask& task, size_t place) {
  return static_cast<const int8_t*>(task.cache)[place];
}

// The scale of the token in slot j of a block's keys or values.
float CacheScale(const AttentionTask& task, size_t block, size_t offset, size_t j) {
  const size_t place = task.head_dim * kBlockSize + j * sizeof(float);
  float scale = 0.0f;
  memcpy(&scale, static_cast<const int8_t*>(task.cache) + CachePlace(task, block, offset, place),
         sizeof scale);
  return scale;
}

float Score(const AttentionTask& task, size_t row, size_t j) {
  const size_t t = row / task.group;
  const size_t head = row % task.group;
  const size_t block = j / kBlockSize;
  const auto place = [&](size_t d) {
    return CachePlace(task, block, task.key_offset, KeyPlace(task.kv_type, j % kBlockSize, d));
  };
  if (task.kv_type == kKvInt8) {
    const int16_t* q = task.wide_queries + t * task.wide_stride + head * task.head_dim;
    int32_t dot = 0;
    for (size_t d = 0; d < task.head_dim; ++d) {
      dot += q[d] * CacheInteger(task, place(d));
    }
    const float scale = task.query_scales[t * task.query_scale_stride + head] * task.scale;
    return static_cast<float>(dot) *
           (scale * CacheScale(task, block, task.key_offset, j % kBlockSize));
  }
  const float* q = task.queries + t * task.query_stride + head * task.head_dim;
  float dot = 0.0f;
  for (size_t d = 0; d < task.head_dim; ++d) {
    dot = fmaf(q[d], CacheElement(task, place(d)), dot);
  }
  return dot * task.scale;
}

size_t NumKeys(const AttentionTask& task, size_t row) { return task.num_keys + row / task.group; }

void AttentionScores(const AttentionTask* task, size_t block_begin, size_t block_end) {
  for (size_t row = 0; row < task->num_queries * task->group; ++row) {
    const size_t num_keys = NumKeys(*task, row);
    for (size_t j = block_begin * kBlockSize; j < block_end * kBlockSize && j < num_keys; ++j) {
      task->scores[row * task->scores_stride + j] = Score(*task, row, j);
    }
  }
}

void AttentionWeights(const AttentionTask* task, size_t row_begin, size_t row_end) {
  for (size_t row = row_begin; row < row_end; ++row) {
    float* scores = task->scores + row * task->scores_stride;
    const size_t num_keys = NumKeys(*task, row);
    Lanes largest;
    for (float& lane : largest.of) {
      lane = -INFINITY;
    }
    for (size_t j = 0; j < num_keys; ++j) {
      largest.of[j % kLanes] = Max(largest.of[j % kLanes], scores[j]);
    }
    const float m = largest.Largest();
    Lanes sum;
    for (size_t j = 0; j < num_keys; ++j) {
      scores[j] = Exp(scores[j] - m);
      sum.of[j % kLanes] = sum.of[j % kLanes] + scores[j];
    }
    task->sums[row] = sum.Sum();
  }
}

// acc[d] += what `count` tokens of a block add to dimensions [begin, end).
void MixInt8Block(const AttentionTask& task, const float* weights, size_t block, size_t count,
                  size_t begin, size_t end, float* acc) {
  Lanes scaled;
  for (size_t j = 0; j < count; ++j) {
    scaled.of[j] = weights[j] * CacheScale(task, block, task.value_offset, j);
  }
  const float a = Max(scaled.Largest(), 1e-30f);
  int32_t integers[kBlockSize];
  for (size_t j = 0; j < count; ++j) {
    integers[j] =
        static_cast<int32_t>(Clip(nearbyintf(scaled.of[j] * (32767.0f / a)), 0.0f, 32767.0f));
  }
  for (size_t d = begin; d < end; ++d) {
    int32_t sum = 0;
    for (size_t j = 0; j < count; ++j) {
      const size_t place = ValuePlace(task.kv_type, task.head_dim, j, d);
      sum += integers[j] * CacheInteger(task, CachePlace(task, block, task.value_offset, place));
    }
    acc[d] = fmaf(static_cast<float>(sum), a / 32767.0f, acc[d]);
  }
}

void MixFloatBlock(const AttentionTask& task, const float* weights, size_t block, size_t count,
                   size_t begin, size_t end, float* acc) {
  for (size_t j = 0; j < count; ++j) {
    for (size_t d = begin; d < end; ++d) {
      const size_t place = ValuePlace(task.kv_type, task.head_dim, j, d);
      const size_t element = CachePlace(task, block, task.value_offset, place);
      acc[d] = fmaf(weights[j], CacheElement(task, element), acc[d]);
    }
  }
}

void AttentionValues(const AttentionTask* task, size_t begin, size_t end) {
  const auto mix = task->kv_type == kKvInt8 ? MixInt8Block : MixFloatBlock;
  for (size_t row = 0; row < task->num_queries * task->group; ++row) {
    const float* weights = task->scores + row * task->scores_stride;
    float* out =
        task->out + row / task->group * task->out_stride + row % task->group * task->head_dim;
    for (size_t d = begin; d < end; ++d) {
      out[d] = 0.0f;
    }
    const size_t num_keys = NumKeys(*task, row);
    for (size_t j = 0; j < num_keys; j += kBlockSize) {
      const size_t count = num_keys - j < kBlockSize ? num_keys - j : kBlockSize;
      mix(*task, weights + j, j / kBlockSize, count, begin, end, out);
    }
    for (size_t d = begin; d < end; ++d) {
      out[d] = out[d] / task->sums[row];
    }
  }
}

// ---- Logits ----

size_t Argmax(const float* x, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; ++i) {
    const bool best_is_nan = x[best] != x[best];
    if (x[i] > x[best] || (best_is_nan && x[i] == x[i])) {
      best = i;
    }
  }
  return best;
}

float SumExp(const float* x, size_t n, float shift, float scale) {
  Lanes sum;
  for (size_t i = 0; i < n; ++i) {
    sum.of[i % kLanes] = sum.of[i % kLanes] + Exp((x[i] - shift) * scale);
  }
  return sum.Sum();
}

size_t GumbelArgmax(const float* x, size_t n, float scale, float threshold, const DrawKey* key) {
  size_t best = n;
  float best_score = -INFINITY;
  for (size_t i = 0; i < n; ++i) {
    if (!(x[i] >= threshold)) {
      continue;
    }
    const float score = x[i] * scale + Gumbel(*key, i);
    if (score > best_score) {
      best_score = score;
      best = i;
    }
  }
  return best < n ? best : Argmax(x, n);
}

constexpr struct TernaryPacking kPackings[] = {
    {.name = "2bit", .bytes = TernaryBytes, .pack = TernaryPack, .gemm = TernaryGemm},
};

constexpr GroupedPacking kGroupedPackings[] = {
    {.name = "2bit", .bytes = GroupedBytes, .pack = GroupedPack, .gemm = GroupedGemm}};

}  // namespace

const Kernels kReferenceKernels = {
    .name = "reference",
    .required = 0,
    .packings = kPackings,
    .num_packings = sizeof kPackings / sizeof kPackings[0],
    .grouped_packings = kGroupedPackings,
    .num_grouped_packings = sizeof kGroupedPackings / sizeof kGroupedPackings[0],
    .head_pack = HeadPack,
    .head_quantize = HeadQuantize,
    .head_dot = HeadDot,
    .head_dots = HeadDots,
    .head_gemm = HeadGemm,
    .screen = ScreenTokens,
    .bf16_gemm = Bf16Gemm,
    .rms_norm = RmsNorm,
    .quantize = Quantize,
    .relu2_mul = Relu2Mul,
    .silu_mul = SiluMul,
    .add = Add,
    .rope = Rope,
    .store_kv = StoreKv,
    .attention =
        {
            .quantize_query = QuantizeQuery,
            .store_int8 = StoreInt8,
            .scores = AttentionScores,
            .weights = AttentionWeights,
            .values = AttentionValues,
        },
    .argmax = Argmax,
    .sum_exp = SumExp,
    .gumbel_argmax = GumbelArgmax,
};

}  // namespace tercet
