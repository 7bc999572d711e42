// From the last hidden state to the next token: the bfloat16 head, and choices among logits.
#pragma once

#include "kernels/generic/math.h"

namespace tercet {
namespace {

template <size_t kRows, size_t kTokens>
inline void Bf16Block(const uint16_t* table, size_t table_stride, size_t cols, const float* x,
                      size_t x_stride, float* out, size_t out_stride) {
  Floats acc[kTokens][kRows];
  for (size_t m = 0; m < kTokens; ++m) {
    for (size_t n = 0; n < kRows; ++n) {
      acc[m][n] = Broadcast(0.0f);
    }
  }
  ForLanes(cols, [&](size_t k, auto part) {
    Floats weights[kRows];
    for (size_t n = 0; n < kRows; ++n) {
      weights[n] = LoadBf16(table + n * table_stride + k, part);
    }
    for (size_t m = 0; m < kTokens; ++m) {
      const Floats value = Load(x + m * x_stride + k, part);
      for (size_t n = 0; n < kRows; ++n) {
        acc[m][n] = Merge(Fma(value, weights[n], acc[m][n]), acc[m][n], part);
      }
    }
  });
  for (size_t m = 0; m < kTokens; ++m) {
    for (size_t n = 0; n < kRows; ++n) {
      out[m * out_stride + n] = SumOf(acc[m][n]);
    }
  }
}

template <size_t kRows>
inline void Bf16Rows(const uint16_t* table, size_t table_stride, size_t cols, const float* x,
                     size_t num_rows, size_t x_stride, float* out, size_t out_stride) {
  size_t m = 0;
  for (; m + kBlockColumns <= num_rows; m += kBlockColumns) {
    Bf16Block<kRows, kBlockColumns>(table, table_stride, cols, x + m * x_stride, x_stride,
                                    out + m * out_stride, out_stride);
  }
  for (; m < num_rows; ++m) {
    Bf16Block<kRows, 1>(table, table_stride, cols, x + m * x_stride, x_stride, out + m * out_stride,
                        out_stride);
  }
}

inline void Bf16Gemm(const uint16_t* table, size_t table_stride, size_t cols, size_t row_begin,
                     size_t row_end, const float* x, size_t num_rows, size_t x_stride, float* out,
                     size_t out_stride) {
  size_t n = row_begin;
  for (; n + kBlockRows <= row_end; n += kBlockRows) {
    Bf16Rows<kBlockRows>(table + n * table_stride, table_stride, cols, x, num_rows, x_stride,
                         out + n, out_stride);
  }
  for (; n < row_end; ++n) {
    Bf16Rows<1>(table + n * table_stride, table_stride, cols, x, num_rows, x_stride, out + n,
                out_stride);
  }
}

// The first index of the largest value; NaN counts for nothing, and all NaN gives 0.
inline size_t Argmax(const float* x, size_t n) {
  Floats largest = Broadcast(-__builtin_inff());
  ForLanes(n, [&](size_t i, auto part) {
    largest = Merge(Max(Load(x + i, part), largest), largest, part);
  });
  const Floats best = Broadcast(MaxOf(largest));
  size_t found = n;
  ForLanes(n, [&](size_t i, auto part) {
    if (found < n) {
      return;
    }
    const uint32_t hits = Bits(Equal(Load(x + i, part), best) & MaskOf(part));
    if (hits != 0) {
      found = i + static_cast<size_t>(__builtin_ctz(hits));
    }
  });
  return found < n ? found : 0;
}

inline float SumExp(const float* x, size_t n, float shift, float scale) {
  Floats sum = Broadcast(0.0f);
  ForLanes(n, [&](size_t i, auto part) {
    const Floats p = Exp(Mul(Sub(Load(x + i, part), Broadcast(shift)), Broadcast(scale)));
    sum = Merge(Add(sum, p), sum, part);
  });
  return SumOf(sum);
}

// No Gumbel number of 23 random bits is larger: -log(-log(1 - 2^-24)) is 16.64.
inline constexpr float kMaxGumbel = 17.0f;

// Every lane keeps the first of its own best; the best lane, of equals the lowest index, wins.
// Random numbers are made only for 64 tokens of which one passes the threshold and could still win:
// as rounding is monotonic, none does whose x * scale + kMaxGumbel is not above an earlier score.
inline size_t GumbelArgmax(const float* x, size_t n, float scale, float threshold,
                           const DrawKey* key) {
  Floats best = Broadcast(-__builtin_inff());
  Words index = BroadcastWord(0xffffffffu);
  for (size_t begin = 0; begin < n; begin += 64) {
    const size_t count = n - begin < 64 ? n - begin : 64;
    const Floats bar = Broadcast(MaxOf(best));
    uint32_t candidates = 0;
    ForLanes(count, [&](size_t i, auto part) {
      const Floats logit = Load(x + begin + i, part);
      const Floats most = Add(Mul(logit, Broadcast(scale)), Broadcast(kMaxGumbel));
      candidates |=
          Bits(GreaterEqual(logit, Broadcast(threshold)) & Less(bar, most) & MaskOf(part));
    });
    if (candidates == 0) {
      continue;
    }
    Floats gumbels[4];
    Gumbels(*key, begin, gumbels);
    ForLanes(count, [&](size_t i, auto part) {
      const Floats logit = Load(x + begin + i, part);
      const Floats score = Add(Mul(logit, Broadcast(scale)), gumbels[i / 16]);
      const Mask passes = GreaterEqual(logit, Broadcast(threshold)) & MaskOf(part);
      const Mask wins = passes & Less(best, score);
      const Words indices = Add(BroadcastWord(static_cast<uint32_t>(begin + i)), LaneNumbers());
      best = Select(wins, score, best);
      index = Select(wins, indices, index);
    });
  }
  float scores[16];
  uint32_t indices[16];
  Store(best, scores);
  Store(FloatsOf(index), reinterpret_cast<float*>(indices));
  size_t winner = 0;
  for (size_t lane = 1; lane < 16; ++lane) {
    const bool equal = scores[lane] == scores[winner];
    if (scores[lane] > scores[winner] || (equal && indices[lane] < indices[winner])) {
      winner = lane;
    }
  }
  return indices[winner] == 0xffffffffu ? Argmax(x, n) : indices[winner];
}

}  // namespace
}  // namespace tercet
