// The head's int8 weights × 13-bit activations, for 256-bit sets.
//
// Weights are widened to 16 bits and multiplied in pairs of columns with activations kept as int16:
// a pair is below 2^22, and all sums fit (HeadLimit).
#pragma once

#include "kernels/avx2/gemm.h"
#include "kernels/generic/pack.h"
#include "kernels/generic/rows.h"

namespace tercet {
namespace {

template <size_t kTokens, size_t kGroups>
inline void MultiplyGroups(const Int8Matrix& w, const WideRows& x, size_t m, size_t n, float* out,
                           size_t out_stride) {
  const size_t padded = x.stride / 2;
  const uint8_t* weights = w.packed + n / kTileRows * kTileRows * padded + n % kTileRows * 2;
  const uint8_t* values = x.values + m * x.stride;
  __m256i sums[kTokens][kGroups];
  SetZero(sums);
  for (size_t k = 0; k < padded; k += 2) {
    Prefetch(weights + k * kTileRows);
    __m256i line[kGroups];
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      const uint8_t* from = weights + k * kTileRows + group * kGroupRows * 2;
      line[group] = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
      const __m256i two = BroadcastFour(values + t * x.stride + k * 2);
#pragma GCC unroll 4
      for (size_t group = 0; group < kGroups; ++group) {
        MultiplyAddPairs(sums[t][group], line[group], two);
      }
    }
  }
  StoreGroups(w, x, m, n, sums, out, out_stride);
}

template <size_t kTokens, size_t kGroups>
void MultiplyHeadTile(const Int8Matrix& w, const WideRows& x, size_t m, size_t tile, float* out,
                      size_t out_stride) {
  for (size_t n = tile * kTileRows; n < (tile + 1) * kTileRows; n += kGroups * kGroupRows) {
    MultiplyGroups<kTokens, kGroups>(w, x, m, n, out, out_stride);
  }
}

// For 1, 2, 3 and 4 tokens. Tokens × groups sums, at most 8 of 16 registers.
constexpr decltype(&MultiplyHeadTile<1, 4>) kHeadTokens[] = {
    MultiplyHeadTile<1, 4>, MultiplyHeadTile<2, 4>, MultiplyHeadTile<3, 2>, MultiplyHeadTile<4, 2>};

void Int8Gemm(const Int8Matrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
              float* out, size_t out_stride) {
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    ForStretches(x->num_rows, sizeof kHeadTokens / sizeof *kHeadTokens,
                 [&](size_t begin, size_t end) {
                   kHeadTokens[end - begin - 1](*w, *x, begin, tile, out, out_stride);
                 });
  }
}

void WideQuantize(const float* x, size_t cols, uint8_t* values, float* scale, int32_t* sum) {
  const auto limit = static_cast<float>(HeadLimit(cols));
  const float a = LargestMagnitude(x, cols);
  const Floats s = Broadcast(limit / a);
  auto* out = reinterpret_cast<uint16_t*>(values);
  Words total = BroadcastWord(0);
  ForLanes(cols, [&](size_t k, auto part) {
    const Floats scaled = RoundHalfEven(Mul(Load(x + k, part), s));
    const Words q = ToWords(Clip(scaled, Broadcast(-limit), Broadcast(limit)));
    StoreHalves(q, out + k);
    total = Merge(Add(total, q), total, part);
  });
  memset(out + cols, 0, (RoundUp(cols, kColumnAlign) - cols) * sizeof *out);
  *scale = a / limit;
  *sum = SumOf(total);
}

}  // namespace
}  // namespace tercet
