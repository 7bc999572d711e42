// The head's products for 256-bit sets.
//
// Weights become unsigned halves of 16 bits, either nibbles of the high plane or whole, w + 128,
// put together from both, and are multiplied in pairs of columns with activations kept as int16;
// 128 times the sum of the activations is then taken off. Sums wrap around modulo 2^32 on the way;
// the result fits (HeadLimit), so it is right.
//
// Shifting a line by 4 bits and masking its halves gives columns 0 and 2, then 4 and 6, 1 and 3, 5
// and 7: the activations are kept in that order.
#pragma once

#include "kernels/avx2/gemm.h"

namespace tercet {
namespace {

inline void StoreHeadValues(Words q, size_t k, size_t, uint8_t* values) {
  const __m256i order = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
  StoreVector(_mm256_shuffle_epi8(PackedHalves(q), order), values + 2 * k);
}

// Tokens [m, m + kTokens) × groups [first, first + kGroups) of a tile.
template <bool kBoth, size_t kTokens, size_t kGroups>
inline void MultiplyHeadGroups(const HeadMatrix& w, const WideRows& x, size_t m, size_t tile,
                               size_t first, __m256i (&sums)[kTokens][kGroups]) {
  const size_t place = tile * HeadTileBytes(w.cols) + first * kVectorBytes;
  const __m256i mask = _mm256_set1_epi16(15);
  for (size_t k = 0; k < x.stride / 2; k += 8) {
    const size_t line = place + k / 8 * kHeadLineBytes;
    Prefetch(w.high + line);
    __m256i high[kGroups];
    __m256i low[kGroups];
    if constexpr (kBoth) {
      Prefetch(w.low + line);
    }
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      high[group] = LoadVector(w.high + line + group * kVectorBytes);
      if constexpr (kBoth) {
        low[group] = LoadVector(w.low + line + group * kVectorBytes);
      }
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      __m256i codes[kGroups];
#pragma GCC unroll 4
      for (size_t group = 0; group < kGroups; ++group) {
        codes[group] = _mm256_and_si256(high[group], mask);
        high[group] = _mm256_srli_epi16(high[group], 4);
        if constexpr (kBoth) {
          codes[group] = _mm256_or_si256(_mm256_slli_epi16(codes[group], 4),
                                         _mm256_and_si256(low[group], mask));
          low[group] = _mm256_srli_epi16(low[group], 4);
        }
      }
#pragma GCC unroll 4
      for (size_t t = 0; t < kTokens; ++t) {
        const __m256i two = BroadcastFour(x.values + (m + t) * x.stride + 2 * k + 4 * j);
#pragma GCC unroll 4
        for (size_t group = 0; group < kGroups; ++group) {
          MultiplyAddPairs(sums[t][group], codes[group], two);
        }
      }
    }
  }
}

// Tokens [m, m + kTokens) × one tile. `out` receives words where only the high plane is read.
template <bool kBoth, size_t kTokens>
void MultiplyHeadTile(const HeadMatrix& w, const WideRows& x, size_t m, size_t tile, float* out,
                      size_t out_stride) {
  // At most 8 accumulators of 16 registers.
  constexpr size_t kAtOnce = kTokens == 1 ? 4 : 2;
  for (size_t first = 0; first < kTileGroups; first += kAtOnce) {
    __m256i sums[kTokens][kAtOnce];
    for (size_t t = 0; t < kTokens; ++t) {
      const uint32_t taken_off = kBoth ? 128u * static_cast<uint32_t>(x.sums[m + t]) : 0u;
      for (size_t group = 0; group < kAtOnce; ++group) {
        sums[t][group] = _mm256_set1_epi32(static_cast<int32_t>(0u - taken_off));
      }
    }
    MultiplyHeadGroups<kBoth>(w, x, m, tile, first, sums);
    const size_t n = tile * kTileRows + first * kGroupRows;
    if constexpr (kBoth) {
      StoreGroups(w, x, m, n, sums, out, out_stride);
      continue;
    }
    for (size_t t = 0; t < kTokens; ++t) {
      int32_t words[kAtOnce * kGroupRows];
      memcpy(words, sums[t], sizeof words);
      const size_t left = n < w.rows ? w.rows - n : 0;
      const size_t count = left < kAtOnce * kGroupRows ? left : kAtOnce * kGroupRows;
      memcpy(out + (m + t) * out_stride + n, words, count * sizeof *words);
    }
  }
}

template <bool kBoth>
constexpr decltype(&MultiplyHeadTile<true, 1>) kHeadTokens[] = {
    MultiplyHeadTile<kBoth, 1>, MultiplyHeadTile<kBoth, 2>, MultiplyHeadTile<kBoth, 3>,
    MultiplyHeadTile<kBoth, 4>};

template <bool kBoth>
inline void HeadProducts(const HeadMatrix& w, const WideRows& x, size_t tile_begin, size_t tile_end,
                         float* out, size_t out_stride) {
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    ForStretches(x.num_rows, 4, [&](size_t begin, size_t end) {
      kHeadTokens<kBoth>[end - begin - 1](w, x, begin, tile, out, out_stride);
    });
  }
}

inline void HeadDots(const HeadMatrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
                     int32_t* out, size_t out_stride) {
  HeadProducts<false>(*w, *x, tile_begin, tile_end, reinterpret_cast<float*>(out), out_stride);
}

inline void HeadGemm(const HeadMatrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
                     float* out, size_t out_stride) {
  HeadProducts<true>(*w, *x, tile_begin, tile_end, out, out_stride);
}

// The product of one row with one token, a group of columns at a time.
struct HeadRowSum {
  __m256i sums = _mm256_setzero_si256();

  void Add(const int8_t* weights, const uint8_t* values, size_t group, size_t) {
    const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
    for (size_t k = 0; k < kHeadAlign; k += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + k));
      MultiplyAddPairs(sums, _mm256_cvtepi8_epi16(_mm_shuffle_epi8(bytes, order)),
                       LoadVector(values + 2 * (group + k)));
    }
  }

  int32_t Total(int32_t) const { return SumOf(Words{sums, _mm256_setzero_si256()}); }
};

}  // namespace
}  // namespace tercet
