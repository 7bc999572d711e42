// The head: packing, quantising, and which rows may win.
#pragma once

#include <string.h>

#include "kernels/generic/logits.h"
#include "kernels/generic/math.h"
#include "kernels/generic/rows.h"

namespace tercet {
namespace {

inline float LargestMagnitude(const uint16_t* row, size_t cols) {
  Floats largest = Broadcast(0.0f);
  ForLanes(cols, [&](size_t k, auto part) {
    largest = Merge(Max(largest, Abs(LoadBf16(row + k, part))), largest, part);
  });
  return MaxOf(largest);
}

// Some columns of a row of the table as weights, and zeros after them. inverse = 127 / a.
struct HeadGroup {
  alignas(64) int8_t weights[kHeadAlign] = {};

  HeadGroup(const uint16_t* row, size_t count, Floats inverse) {
    ForLanes(count, [&](size_t k, auto part) {
      const Floats scaled = Mul(LoadBf16(row + k, part), inverse);
      const Words q = ToWords(Clip(RoundHalfEven(scaled), Broadcast(-127.0f), Broadcast(127.0f)));
      StoreBytes(Merge(q, BroadcastWord(0), part), weights + k);
    });
  }
};

// Calls body(group, count, HeadGroup) for every kHeadAlign columns; returns the row's largest
// magnitude.
template <class Body>
inline float ForHeadGroups(const uint16_t* row, size_t cols, Body body) {
  const float a = LargestMagnitude(row, cols);
  const Floats inverse = Broadcast(a == 0.0f ? 0.0f : 127.0f / a);
  for (size_t group = 0; group < cols; group += kHeadAlign) {
    const size_t count = cols - group < kHeadAlign ? cols - group : kHeadAlign;
    body(group, count, HeadGroup(row + group, count, inverse));
  }
  return a;
}

// The lines of one group of columns, as one plane keeps them.
inline void StoreNibbles(const uint8_t (&nibbles)[kHeadAlign], uint8_t* lines) {
  for (size_t line = 0; line < kHeadAlign / 8; ++line) {
    for (size_t j = 0; j < 4; ++j) {
      lines[line * kHeadLineBytes + j] =
          static_cast<uint8_t>(nibbles[line * 8 + j] | nibbles[line * 8 + 4 + j] << 4);
    }
  }
}

inline void HeadPack(const uint16_t* row, size_t cols, uint8_t* high, uint8_t* low,
                     HeadRow* facts) {
  *facts = {};
  const auto pack = [&](size_t group, size_t count, const HeadGroup& columns) {
    uint8_t highs[kHeadAlign];
    uint8_t lows[kHeadAlign];
    for (size_t k = 0; k < kHeadAlign; ++k) {
      const auto code = static_cast<uint8_t>(columns.weights[k] + 128);
      highs[k] = code >> 4;
      lows[k] = code & 15;
    }
    int32_t squares = 0;
    int32_t products = 0;
    int32_t middles = 0;
    for (size_t k = 0; k < count; ++k) {
      const int32_t w = +columns.weights[k];
      const int32_t v = 32 * highs[k] - 241;
      squares += w * w;
      products += w * v;
      middles += v * v;
    }
    facts->squares += squares;
    facts->products += products;
    facts->middles += middles;
    if (high != nullptr) {
      StoreNibbles(highs, high + group / 8 * kHeadLineBytes);
    }
    if (low != nullptr) {
      StoreNibbles(lows, low + group / 8 * kHeadLineBytes);
    }
  };
  const float a = ForHeadGroups(row, cols, pack);
  facts->scale = a == 0.0f ? 1.0f : a / 127.0f;
}

inline void HeadQuantize(const float* x, size_t cols, uint8_t* values, float* scale, int32_t* sum) {
  const auto limit = static_cast<float>(HeadLimit(cols));
  const float a = LargestMagnitude(x, cols, 1e-5f);
  const Floats s = Broadcast(limit / a);
  const size_t padded = RoundUp(cols, kHeadAlign);
  memset(values, 0, 2 * padded);
  Words total = BroadcastWord(0);
  ForLanes(cols, [&](size_t k, auto part) {
    const Floats scaled = RoundHalfEven(Mul(Load(x + k, part), s));
    const Words clipped = ToWords(Clip(scaled, Broadcast(-limit), Broadcast(limit)));
    const Words q = Merge(clipped, BroadcastWord(0), part);
    StoreHeadValues(q, k, padded, values);
    total = Add(total, q);
  });
  *scale = a / limit;
  *sum = SumOf(total);
}

inline int32_t HeadDot(const uint16_t* row, size_t cols, const WideRows* x) {
  HeadRowSum sum;
  ForHeadGroups(row, cols, [&](size_t group, size_t, const HeadGroup& columns) {
    sum.Add(columns.weights, x->values, group, x->stride);
  });
  return sum.Total(x->sums[0]);
}

// Random numbers are made only for 64 tokens of which one could pass the bar of those before.
inline size_t ScreenTokens(const Screen* screen, uint32_t* tokens, float* uppers, float* bar) {
  const Screen& s = *screen;
  float highest = -__builtin_inff();
  size_t found = 0;
  for (size_t begin = s.begin; begin < s.end; begin += 64) {
    const size_t count = s.end - begin < 64 ? s.end - begin : 64;
    Floats upper[4];
    Floats lower[4];
    Floats most = Broadcast(-__builtin_inff());
    ForLanes(count, [&](size_t i, auto part) {
      const size_t n = begin + i;
      const Words sums = BitsOf(Load(reinterpret_cast<const float*>(s.sums) + n, part));
      const Words centred = Add(ShiftLeft<4>(sums), BroadcastWord(static_cast<uint32_t>(s.offset)));
      const Floats a = Mul(Add(ToFloats(centred), Broadcast(s.lift)),
                           Mul(Broadcast(s.scale), Load(s.scales + n, part)));
      const Floats e = Mul(Broadcast(s.reach), Load(s.margins + n, part));
      upper[i / 16] = Mul(Add(a, e), Broadcast(s.inverse_temperature));
      lower[i / 16] = Mul(Sub(a, e), Broadcast(s.inverse_temperature));
      most = Merge(Max(upper[i / 16], most), most, part);
    });
    if (s.key != nullptr) {
      if (MaxOf(most) + kMaxGumbel < highest) {
        continue;
      }
      Floats gumbels[4];
      Gumbels(*s.key, begin, gumbels);
      for (size_t i = 0; i * 16 < count; ++i) {
        upper[i] = Add(upper[i], gumbels[i]);
        lower[i] = Add(lower[i], gumbels[i]);
      }
    }
    Floats lowest_bar = Broadcast(highest);
    ForLanes(count, [&](size_t i, auto part) {
      const Mask passes = GreaterEqual(upper[i / 16], Broadcast(highest)) & MaskOf(part);
      float values[16];
      uint32_t bits = Bits(passes);
      if (bits != 0) {
        Store(upper[i / 16], values);
      }
      for (; bits != 0; bits &= bits - 1) {
        const auto lane = static_cast<size_t>(__builtin_ctz(bits));
        tokens[found] = static_cast<uint32_t>(begin + i + lane);
        uppers[found++] = values[lane];
      }
      lowest_bar = Merge(Max(lower[i / 16], lowest_bar), lowest_bar, part);
    });
    highest = MaxOf(lowest_bar);
  }
  size_t kept = 0;
  for (size_t i = 0; i < found; ++i) {
    if (uppers[i] >= highest) {
      tokens[kept] = tokens[i];
      uppers[kept++] = uppers[i];
    }
  }
  *bar = highest;
  return kept;
}

}  // namespace
}  // namespace tercet
