// The meaning of every kernel, in the order of the contract's formulas. Plain loops for the
// baseline CPU: it is what the other sets are tested against, and what runs where none of them can.
//
// Ternary codes are kept four to a byte, row by row; int8 weights a byte each, row by row.
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

float LargestMagnitude(const float* x, size_t n) {
  Lanes largest;
  for (size_t i = 0; i < n; ++i) {
    largest.of[i % kLanes] = Max(largest.of[i % kLanes], fabsf(x[i]));
  }
  return Max(largest.Largest(), 1e-5f);
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

// ---- The head ----

size_t Int8Bytes(size_t rows, size_t cols) {
  return RoundUp(rows, kTileRows) * RoundUp(cols, kColumnAlign);
}

void Int8Pack(const uint16_t* table, size_t table_stride, size_t rows, size_t cols, size_t tile,
              uint8_t* packed, float* row_scales) {
  const size_t row_bytes = RoundUp(cols, kColumnAlign);
  memset(packed + tile * kTileRows * row_bytes, 0, kTileRows * row_bytes);
  for (size_t n = tile * kTileRows; n < (tile + 1) * kTileRows; ++n) {
    row_scales[n] = 1.0f;
    if (n >= rows) {
      continue;
    }
    const uint16_t* row = table + n * table_stride;
    Lanes largest;
    for (size_t k = 0; k < cols; ++k) {
      largest.of[k % kLanes] = Max(largest.of[k % kLanes], fabsf(Widen(row[k])));
    }
    const float a = largest.Largest();
    if (a == 0.0f) {
      continue;
    }
    const float inverse = 127.0f / a;
    for (size_t k = 0; k < cols; ++k) {
      const float q = Clip(nearbyintf(Widen(row[k]) * inverse), -127.0f, 127.0f);
      packed[n * row_bytes + k] = static_cast<uint8_t>(static_cast<int8_t>(q));
    }
    row_scales[n] = a / 127.0f;
  }
}

void WideQuantize(const float* x, size_t cols, uint8_t* values, float* scale, int32_t* sum) {
  const auto limit = static_cast<float>(HeadLimit(cols));
  const float a = LargestMagnitude(x, cols);
  const float s = limit / a;
  auto* out = reinterpret_cast<int16_t*>(values);
  memset(out, 0, RoundUp(cols, kColumnAlign) * sizeof *out);
  *sum = 0;
  for (size_t k = 0; k < cols; ++k) {
    out[k] = static_cast<int16_t>(Clip(nearbyintf(x[k] * s), -limit, limit));
    *sum += out[k];
  }
  *scale = a / limit;
}

void Int8Gemm(const Int8Matrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
              float* out, size_t out_stride) {
  const size_t row_bytes = RoundUp(w->cols, kColumnAlign);
  const size_t end = tile_end * kTileRows < w->rows ? tile_end * kTileRows : w->rows;
  for (size_t n = tile_begin * kTileRows; n < end; ++n) {
    const auto* row = reinterpret_cast<const int8_t*>(w->packed) + n * row_bytes;
    for (size_t m = 0; m < x->num_rows; ++m) {
      const auto* values = reinterpret_cast<const int16_t*>(x->values + m * x->stride);
      int32_t sum = 0;
      for (size_t k = 0; k < w->cols; ++k) {
        sum += values[k] * row[k];
      }
      out[m * out_stride + n] = static_cast<float>(sum) * (x->scales[m] * w->row_scales[n]);
    }
  }
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

void Quantize(const float* x, size_t n, int8_t* values, float* scale, int32_t* sum) {
  const float a = LargestMagnitude(x, n);
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

void Add(float* x, const float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    x[i] = x[i] + y[i];
  }
}

void WidenRow(const uint16_t* row, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = Widen(row[i]);
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

// Element `index` of the cache block that holds key j.
float CacheElement(const AttentionTask& task, size_t j, size_t index) {
  const auto block = static_cast<size_t>(task.block_table[j / kBlockSize]);
  const size_t place = block * task.block_stride + index;
  return task.kv_type == kKvFloat32 ? static_cast<const float*>(task.cache)[place]
                                    : Widen(static_cast<const uint16_t*>(task.cache)[place]);
}

void AttentionHead(const AttentionTask& task, const float* q, float* scores, float* out) {
  Lanes largest;
  for (float& lane : largest.of) {
    lane = -INFINITY;
  }
  for (size_t j = 0; j < task.num_keys; ++j) {
    float dot = 0.0f;
    for (size_t d = 0; d < task.head_dim; ++d) {
      const size_t index = task.key_offset + d * kBlockSize + j % kBlockSize;
      dot = fmaf(q[d], CacheElement(task, j, index), dot);
    }
    scores[j] = dot * task.scale;
    largest.of[j % kLanes] = Max(largest.of[j % kLanes], scores[j]);
  }
  const float m = largest.Largest();
  Lanes sum;
  for (size_t j = 0; j < task.num_keys; ++j) {
    scores[j] = Exp(scores[j] - m);
    sum.of[j % kLanes] = sum.of[j % kLanes] + scores[j];
  }
  const float l = sum.Sum();
  for (size_t d = 0; d < task.head_dim; ++d) {
    float acc = 0.0f;
    for (size_t j = 0; j < task.num_keys; ++j) {
      const size_t index = task.value_offset + (j % kBlockSize) * task.head_dim + d;
      acc = fmaf(scores[j], CacheElement(task, j, index), acc);
    }
    out[d] = acc / l;
  }
}

void Attention(const AttentionTask* task) {
  const size_t stride = RoundUp(task->num_keys, kBlockSize);
  for (size_t h = 0; h < task->group; ++h) {
    AttentionHead(*task, task->queries + h * task->head_dim, task->scores + h * stride,
                  task->out + h * task->head_dim);
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

}  // namespace

const Kernels kReferenceKernels = {
    .name = "reference",
    .required = 0,
    .packings = kPackings,
    .num_packings = sizeof kPackings / sizeof kPackings[0],
    .int8_bytes = Int8Bytes,
    .int8_pack = Int8Pack,
    .wide_quantize = WideQuantize,
    .int8_gemm = Int8Gemm,
    .bf16_gemm = Bf16Gemm,
    .rms_norm = RmsNorm,
    .quantize = Quantize,
    .relu2_mul = Relu2Mul,
    .add = Add,
    .widen = WidenRow,
    .rope = Rope,
    .store_kv = StoreKv,
    .attention = Attention,
    .argmax = Argmax,
    .sum_exp = SumExp,
    .gumbel_argmax = GumbelArgmax,
};

}  // namespace tercet
