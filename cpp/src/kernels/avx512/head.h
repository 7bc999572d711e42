// The head's products for AVX-512 with VNNI.
//
// Weights are unsigned, either nibbles of the high plane or whole, w + 128, put together from both;
// 128 times the sum of the activations is then taken off. Activations are two planes of signed
// bytes, q = 128 * high + low, 0 <= low < 128, the high plane after the low one: two products a
// weight. Sums wrap around modulo 2^32 on the way; the result fits (HeadLimit), so it is right.
#pragma once

#include "kernels/avx512/gemm.h"

namespace tercet {
namespace {

inline void StoreHeadValues(Words q, size_t k, size_t padded, uint8_t* values) {
  auto* low = reinterpret_cast<int8_t*>(values);
  StoreBytes(And(q, BroadcastWord(127)), low + k);
  StoreBytes(ShiftRightSigned<7>(q), low + padded + k);
}

// A line of 16 rows: its first four columns, and its second.
struct HeadCodes {
  __m512i first;
  __m512i second;
};

// Two planes are two streams, each asked for half as far ahead as one.
template <bool kBoth>
inline __m512i LoadHeadLine(const uint8_t* from) {
  _mm_prefetch(reinterpret_cast<const char*>(from) + kPrefetchBytes / (kBoth ? 2 : 1), _MM_HINT_T0);
  return _mm512_loadu_si512(from);
}

template <bool kBoth>
inline HeadCodes LoadCodes(const uint8_t* high, const uint8_t* low) {
  const __m512i mask = _mm512_set1_epi8(15);
  const __m512i h = LoadHeadLine<kBoth>(high);
  if constexpr (!kBoth) {
    return {_mm512_and_si512(h, mask), _mm512_and_si512(_mm512_srli_epi16(h, 4), mask)};
  }
  const __m512i l = LoadHeadLine<kBoth>(low);
  // 0xCA: of the mask's bits the second, of the others the third.
  return {_mm512_ternarylogic_epi32(mask, l, _mm512_slli_epi16(h, 4), 0xCA),
          _mm512_ternarylogic_epi32(mask, _mm512_srli_epi16(l, 4), h, 0xCA)};
}

// The sums of some tokens and vectors of rows, kept in registers.
template <size_t kTokens, size_t kVectors>
struct HeadSums {
  __m512i low[kTokens][kVectors];
  __m512i high[kTokens][kVectors];

  void Add(const __m512i (&codes)[kVectors], const uint8_t* values, size_t stride) {
#pragma GCC unroll 6
    for (size_t t = 0; t < kTokens; ++t) {
      const __m512i four_low = BroadcastFour(values + t * stride);
      const __m512i four_high = BroadcastFour(values + t * stride + stride / 2);
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        low[t][v] = DotProduct(low[t][v], codes[v], four_low);
        high[t][v] = DotProduct(high[t][v], codes[v], four_high);
      }
    }
  }
};

template <bool kBoth>
struct HeadWeights {
  using Matrix = HeadMatrix;
  using Rows = WideRows;

  // `out` receives words where only the high plane is read.
  template <size_t kTokens, size_t kTiles>
  static void MultiplyTiles(const HeadMatrix& w, const WideRows& x, size_t m, const size_t* tiles,
                            float* out, size_t out_stride) {
    constexpr size_t kVectors = kTiles * kGroups;
    HeadSums<kTokens, kVectors> sums;
    const uint8_t* highs[kVectors];
    const uint8_t* lows[kVectors];
#pragma GCC unroll 8
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t place = tiles[v / kGroups] * HeadTileBytes(w.cols) + v % kGroups * 64;
      highs[v] = w.high + place;
      lows[v] = (kBoth ? w.low : w.high) + place;
#pragma GCC unroll 6
      for (size_t t = 0; t < kTokens; ++t) {
        sums.low[t][v] = _mm512_setzero_si512();
        sums.high[t][v] = kBoth ? _mm512_set1_epi32(-x.sums[m + t]) : _mm512_setzero_si512();
      }
    }
    const uint8_t* values = x.values + m * x.stride;
    for (size_t k = 0; k < x.stride / 2; k += 8) {
      const size_t offset = k / 8 * kHeadLineBytes;
      __m512i first[kVectors];
      __m512i second[kVectors];
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        const HeadCodes codes = LoadCodes<kBoth>(highs[v] + offset, lows[v] + offset);
        first[v] = codes.first;
        second[v] = codes.second;
      }
      sums.Add(first, values + k, x.stride);
      sums.Add(second, values + k + 4, x.stride);
    }
    __m512i totals[kTokens][kVectors];
#pragma GCC unroll 6
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        totals[t][v] = _mm512_add_epi32(sums.low[t][v], _mm512_slli_epi32(sums.high[t][v], 7));
      }
    }
    if constexpr (kBoth) {
      StoreVectors(w, x, m, tiles, totals, out, out_stride);
    } else {
      StoreWords(w, m, tiles, totals, out, out_stride);
    }
  }

  template <size_t kTokens, size_t kVectors>
  static void StoreWords(const HeadMatrix& w, size_t m, const size_t* tiles,
                         const __m512i (&sums)[kTokens][kVectors], float* out, size_t out_stride) {
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t n = tiles[v / kGroups] * kTileRows + v % kGroups * kGroupRows;
      const size_t left = n < w.rows ? w.rows - n : 0;
      const auto mask = static_cast<__mmask16>(left < kGroupRows ? (1u << left) - 1u : 0xFFFFu);
      for (size_t t = 0; t < kTokens; ++t) {
        _mm512_mask_storeu_epi32(out + (m + t) * out_stride + n, mask, sums[t][v]);
      }
    }
  }
};

// For 1, 2, 3 ... tokens: four accumulators a token and tile, at most 24 of 32 registers. Two tiles
// are walked as two streams; with both planes one tile is.
template <bool kBoth>
constexpr size_t kStreams = kBoth ? 1 : 2;
template <bool kBoth>
constexpr TokensFunction<HeadWeights<kBoth>> kHeadTokens[] = {
    MultiplyTokens<HeadWeights<kBoth>, 1, kStreams<kBoth>>,
    MultiplyTokens<HeadWeights<kBoth>, 2, kStreams<kBoth>>,
    MultiplyTokens<HeadWeights<kBoth>, 3, kStreams<kBoth>>,
    MultiplyTokens<HeadWeights<kBoth>, 4, 1>,
    MultiplyTokens<HeadWeights<kBoth>, 5, 1>,
    MultiplyTokens<HeadWeights<kBoth>, 6, 1>,
};

inline void HeadDots(const HeadMatrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
                     int32_t* out, size_t out_stride) {
  Gemm(kHeadTokens<false>, *w, *x, tile_begin, tile_end, reinterpret_cast<float*>(out), out_stride);
}

inline void HeadGemm(const HeadMatrix* w, const WideRows* x, size_t tile_begin, size_t tile_end,
                     float* out, size_t out_stride) {
  Gemm(kHeadTokens<true>, *w, *x, tile_begin, tile_end, out, out_stride);
}

// The product of one row with one token, a group of columns at a time.
struct HeadRowSum {
  __m512i low = _mm512_setzero_si512();
  __m512i high = _mm512_setzero_si512();

  void Add(const int8_t* weights, const uint8_t* values, size_t group, size_t stride) {
    const __m512i codes =
        _mm512_xor_si512(_mm512_loadu_si512(weights), _mm512_set1_epi8(static_cast<char>(0x80)));
    low = _mm512_dpbusd_epi32(low, codes, _mm512_loadu_si512(values + group));
    high = _mm512_dpbusd_epi32(high, codes, _mm512_loadu_si512(values + stride / 2 + group));
  }

  int32_t Total(int32_t sum_of_values) const {
    const Words sums{_mm512_add_epi32(low, _mm512_slli_epi32(high, 7))};
    return static_cast<int32_t>(static_cast<uint32_t>(SumOf(sums)) -
                                128u * static_cast<uint32_t>(sum_of_values));
  }
};

}  // namespace
}  // namespace tercet
