// Kernels over rows of floats, memory-bound all of them: a row is 10 to 30 KB and lies in L1 or L2.
#pragma once

#include "kernels/generic/math.h"

namespace tercet {
namespace {

inline void RmsNorm(const float* x, const float* weight, size_t n, float eps, float* out) {
  Floats squares = Broadcast(0.0f);
  ForLanes(n, [&](size_t i, auto part) {
    const Floats value = Load(x + i, part);
    squares = Merge(Fma(value, value, squares), squares, part);
  });
  const float r = 1.0f / SquareRoot(SumOf(squares) / static_cast<float>(n) + eps);
  ForLanes(n, [&](size_t i, auto part) {
    Store(Mul(Mul(Load(x + i, part), Broadcast(r)), Load(weight + i, part)), out + i, part);
  });
}

inline float LargestMagnitude(const float* x, size_t n, float floor) {
  Floats largest = Broadcast(0.0f);
  ForLanes(n, [&](size_t i, auto part) {
    largest = Merge(Max(largest, Abs(Load(x + i, part))), largest, part);
  });
  const float a = MaxOf(largest);
  return a > floor ? a : floor;
}

inline void Quantize(const float* x, size_t n, float floor, int8_t* values, float* scale,
                     int32_t* sum) {
  const float a = LargestMagnitude(x, n, floor);
  const Floats s = Broadcast(127.0f / a);
  const Floats low = Broadcast(-128.0f);
  const Floats high = Broadcast(127.0f);
  Words total = BroadcastWord(0);
  ForLanes(n, [&](size_t i, auto part) {
    const Words q = ToWords(Clip(RoundHalfEven(Mul(Load(x + i, part), s)), low, high));
    StoreBytes(q, values + i);
    total = Merge(Add(total, q), total, part);
  });
  memset(values + n, 0, RoundUp(n, kColumnAlign) - n);
  *scale = a / 127.0f;
  *sum = SumOf(total);
}

inline void Relu2Mul(float* gate, const float* up, size_t n) {
  ForLanes(n, [&](size_t i, auto part) {
    const Floats r = Max(Load(gate + i, part), Broadcast(0.0f));
    Store(Mul(Mul(r, r), Load(up + i, part)), gate + i, part);
  });
}

inline void SiluMul(float* gate, const float* up, size_t n) {
  ForLanes(n, [&](size_t i, auto part) {
    const Floats g = Load(gate + i, part);
    const Floats silu = Div(g, Add(Broadcast(1.0f), Exp(Negate(g))));
    Store(Mul(silu, Load(up + i, part)), gate + i, part);
  });
}

inline void AddRow(float* x, const float* y, size_t n) {
  ForLanes(n, [&](size_t i, auto part) {
    Store(Add(Load(x + i, part), Load(y + i, part)), x + i, part);
  });
}

inline void Rope(float* x, const float* cos, const float* sin, size_t head_dim) {
  const size_t h = head_dim / 2;
  ForLanes(h, [&](size_t j, auto part) {
    const Floats a = Load(x + j, part);
    const Floats b = Load(x + j + h, part);
    const Floats c = Load(cos + j, part);
    const Floats s = Load(sin + j, part);
    Store(Fma(a, c, Negate(Mul(b, s))), x + j, part);
    Store(Fma(b, c, Mul(a, s)), x + j + h, part);
  });
}

// bfloat16 in the low half of each word, rounded half-even.
inline Words NarrowToBf16(Floats x) {
  const Words bits = BitsOf(x);
  const Words high = ShiftRight<16>(bits);
  const Words odd = And(high, BroadcastWord(1));
  const Words rounded = ShiftRight<16>(Add(Add(bits, BroadcastWord(0x7fff)), odd));
  const Words quiet = Add(And(high, BroadcastWord(0xffbf)), BroadcastWord(0x40));
  return Select(IsNan(x), quiet, rounded);
}

inline void StoreKv(const float* key, const float* value, size_t head_dim, size_t offset,
                    uint16_t* key_block, uint16_t* value_block) {
  for (size_t d = 0; d < head_dim; d += 16) {
    uint16_t halves[16];
    StoreHalves(NarrowToBf16(Load(key + d)), halves);
    for (size_t i = 0; i < 16; ++i) {
      key_block[(d + i) * kBlockSize + offset] = halves[i];
    }
    StoreHalves(NarrowToBf16(Load(value + d)), value_block + offset * head_dim + d);
  }
}

}  // namespace
}  // namespace tercet
