// The head's int8 weights × 13-bit activations, for AVX-512 with VNNI.
//
// Weights are stored as w + 128, unsigned, and 128 times the sum of the activations is taken off.
// An activation is two signed bytes, a = 128 * high + low, 0 <= low < 128: the high plane follows
// the low one in a row of WideRows. Sums wrap around modulo 2^32 on the way; the result fits
// (HeadLimit), so it is right.
#pragma once

#include "kernels/avx512/gemm.h"
#include "kernels/generic/pack.h"
#include "kernels/generic/rows.h"

namespace tercet {
namespace {

struct Int8 {
  using Matrix = Int8Matrix;
  using Rows = WideRows;

  template <size_t kTokens, size_t kTiles>
  static void MultiplyTiles(const Int8Matrix& w, const WideRows& x, size_t m, const size_t* tiles,
                            float* out, size_t out_stride) {
    constexpr size_t kVectors = kTiles * kGroups;
    const size_t plane = x.stride / 2;
    const uint8_t* weights[kVectors];
    __m512i low[kTokens][kVectors];
    __m512i high[kTokens][kVectors];
#pragma GCC unroll 8
    for (size_t v = 0; v < kVectors; ++v) {
      weights[v] = w.packed + tiles[v / kGroups] * kTileRows * plane + v % kGroups * 64;
#pragma GCC unroll 6
      for (size_t t = 0; t < kTokens; ++t) {
        low[t][v] = _mm512_setzero_si512();
        high[t][v] = _mm512_set1_epi32(-x.sums[m + t]);
      }
    }
    const uint8_t* values = x.values + m * x.stride;
    for (size_t k = 0; k < plane; k += 4) {
      __m512i line[kVectors];
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        line[v] = LoadLine(weights[v] + k * kTileRows);
      }
#pragma GCC unroll 6
      for (size_t t = 0; t < kTokens; ++t) {
        const __m512i four_low = BroadcastFour(values + t * x.stride + k);
        const __m512i four_high = BroadcastFour(values + t * x.stride + plane + k);
#pragma GCC unroll 8
        for (size_t v = 0; v < kVectors; ++v) {
          low[t][v] = DotProduct(low[t][v], line[v], four_low);
          high[t][v] = DotProduct(high[t][v], line[v], four_high);
        }
      }
    }
    __m512i sums[kTokens][kVectors];
#pragma GCC unroll 6
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        sums[t][v] = _mm512_add_epi32(low[t][v], _mm512_slli_epi32(high[t][v], 7));
      }
    }
    StoreVectors(w, x, m, tiles, sums, out, out_stride);
  }
};

// For 1, 2, 3 ... tokens. Accumulators, at most 24 of 32 registers: four a token and tile.
constexpr TokensFunction<Int8> kInt8Tokens[] = {
    MultiplyTokens<Int8, 1, 2>, MultiplyTokens<Int8, 2, 2>, MultiplyTokens<Int8, 3, 2>,
    MultiplyTokens<Int8, 4, 1>, MultiplyTokens<Int8, 5, 1>, MultiplyTokens<Int8, 6, 1>,
};

void Int8Gemm(const Int8Matrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
              float* out, size_t out_stride) {
  Gemm(kInt8Tokens, *w, *x, tile_begin, tile_end, out, out_stride);
}

void WideQuantize(const float* x, size_t cols, uint8_t* values, float* scale, int32_t* sum) {
  const auto limit = static_cast<float>(HeadLimit(cols));
  const float a = LargestMagnitude(x, cols);
  const Floats s = Broadcast(limit / a);
  const size_t plane = RoundUp(cols, kColumnAlign);
  auto* low = reinterpret_cast<int8_t*>(values);
  int8_t* high = low + plane;
  Words total = BroadcastWord(0);
  ForLanes(cols, [&](size_t k, auto part) {
    const Floats scaled = RoundHalfEven(Mul(Load(x + k, part), s));
    const Words q = ToWords(Clip(scaled, Broadcast(-limit), Broadcast(limit)));
    StoreBytes(And(q, BroadcastWord(127)), low + k);
    StoreBytes(ShiftRightSigned<7>(q), high + k);
    total = Merge(Add(total, q), total, part);
  });
  memset(low + cols, 0, plane - cols);
  memset(high + cols, 0, plane - cols);
  *scale = a / limit;
  *sum = SumOf(total);
}

}  // namespace
}  // namespace tercet
