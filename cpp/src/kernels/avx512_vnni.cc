// Kernels for AVX-512 with VNNI (Ice Lake, Zen 4 and later).
//
// VPDPBUSD adds to each 32-bit lane four products of an unsigned by a signed byte. A ternary weight
// w in {-1, 0, 1} is stored as the code w + 1, the unsigned side, and the sum of the activations is
// taken off at the end:  sum a*w = sum a*(w + 1) - sum a.  A lane is a row, its four bytes are four
// columns, and the activations of those columns are broadcast: no sum ever crosses lanes.
//
// A tile of 32 rows is a sequence of lines, a line being two groups of 16 rows × 16 columns at 2
// bits (generic/pack.h): one load, then three shifts and four masks, give four operands of
// VPDPBUSD. For up to four tokens memory is the bound, and two tiles are walked as two streams; for
// more, the masks are shared by up to 12 tokens whose accumulators stay in registers over the whole
// row, and VPDPBUSD itself is the bound.
//
// The head's int8 weights are stored as w + 128, unsigned, and 128 times the sum of the activations
// is taken off. Its 13-bit activations are two signed bytes, a = 128 * high + low, 0 <= low < 128:
// the high plane follows the low one in a row of WideRows. Sums wrap around modulo 2^32 on the way;
// the result fits (HeadLimit), so it is right.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/lanes_avx512.h"
// The lanes come first: the algorithms are written over them.
#include "kernels/generic/attention.h"
#include "kernels/generic/logits.h"
#include "kernels/generic/pack.h"
#include "kernels/generic/rows.h"

namespace tercet {

extern const Kernels kAvx512VnniKernels;

namespace {

constexpr size_t kGroupRows = 16;
constexpr size_t kGroups = kTileRows / kGroupRows;
constexpr size_t kLineBytes = kGroups * 64;

// How far ahead of the line in work each stream is asked for, about a microsecond's worth. Without
// it multiplying and waiting alternate, as the window of one core is too short to overlap them.
constexpr size_t kPrefetchBytes = 4096;

inline __m512i LoadLine(const uint8_t* from) {
  _mm_prefetch(reinterpret_cast<const char*>(from) + kPrefetchBytes, _MM_HINT_T0);
  return _mm512_loadu_si512(from);
}

inline __m512i BroadcastFour(const void* from) {
  int32_t four = 0;
  memcpy(&four, from, sizeof four);
  return _mm512_set1_epi32(four);
}

// GCC 12 keeps a copy of a sum for after the loop and stores it in every turn; the empty statement
// leaves it one register to be in.
inline __m512i DotProduct(__m512i sum, __m512i codes, __m512i values) {
  sum = _mm512_dpbusd_epi32(sum, codes, values);
  __asm__("" : "+v"(sum));
  return sum;
}

// out = float(sums) * (scale * row_scales), for the rows of a group that exist.
inline void StoreGroup(__m512i sums, float scale, const float* row_scales, size_t rows_left,
                       float* out) {
  const Floats scales = Mul(Broadcast(scale), Load(row_scales));
  const Floats result = Mul(ToFloats({sums}), scales);
  if (rows_left >= kGroupRows) {
    Store(result, out);
  } else {
    Store(result, out, First{rows_left});
  }
}

// The vectors of some tiles, one after another: vector v is group v % kGroups of tile v / kGroups.
template <size_t kTokens, size_t kVectors, class Matrix, class Rows>
inline void StoreVectors(const Matrix& w, const Rows& x, size_t m, const size_t* tiles,
                         const __m512i (&sums)[kTokens][kVectors], float* out, size_t out_stride) {
#pragma GCC unroll 8
  for (size_t v = 0; v < kVectors; ++v) {
    const size_t n = tiles[v / kGroups] * kTileRows + v % kGroups * kGroupRows;
    if (n >= w.rows) {
      continue;
    }
#pragma GCC unroll 12
    for (size_t t = 0; t < kTokens; ++t) {
      StoreGroup(sums[t][v], x.scales[m + t], w.row_scales + n, w.rows - n,
                 out + (m + t) * out_stride + n);
    }
  }
}

// Tokens [m, m + kTokens) × the rows of kTiles tiles.
template <size_t kTokens, size_t kTiles>
inline void MultiplyTiles(const TernaryMatrix& w, const Int8Rows& x, size_t m, const size_t* tiles,
                          float* out, size_t out_stride) {
  constexpr size_t kVectors = kTiles * kGroups;
  const size_t num_lines = x.stride / 16;
  const __m512i mask = _mm512_set1_epi8(3);
  const uint8_t* lines[kVectors];
  __m512i sums[kTokens][kVectors];
#pragma GCC unroll 8
  for (size_t v = 0; v < kVectors; ++v) {
    lines[v] = w.packed + tiles[v / kGroups] * num_lines * kLineBytes + v % kGroups * 64;
#pragma GCC unroll 12
    for (size_t t = 0; t < kTokens; ++t) {
      sums[t][v] = _mm512_set1_epi32(-x.sums[m + t]);
    }
  }
  const int8_t* values = x.values + m * x.stride;
  for (size_t line = 0; line < num_lines; ++line) {
    __m512i packed[kVectors];
#pragma GCC unroll 8
    for (size_t v = 0; v < kVectors; ++v) {
      packed[v] = LoadLine(lines[v] + line * kLineBytes);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      __m512i codes[kVectors];
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        codes[v] = _mm512_and_si512(packed[v], mask);
        packed[v] = _mm512_srli_epi16(packed[v], 2);
      }
#pragma GCC unroll 12
      for (size_t t = 0; t < kTokens; ++t) {
        const __m512i four = BroadcastFour(values + t * x.stride + line * 16 + j * 4);
#pragma GCC unroll 8
        for (size_t v = 0; v < kVectors; ++v) {
          sums[t][v] = DotProduct(sums[t][v], codes[v], four);
        }
      }
    }
  }
  StoreVectors(w, x, m, tiles, sums, out, out_stride);
}

// The same for the head: a byte a weight, two planes of bytes for the activations.
template <size_t kTokens, size_t kTiles>
inline void MultiplyTiles(const Int8Matrix& w, const WideRows& x, size_t m, const size_t* tiles,
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

// Tokens [m, m + kTokens) × tiles [begin, end): kTiles streams, each its own stretch of the range.
template <class Matrix, class Rows, size_t kTokens, size_t kTiles>
void MultiplyTokens(const Matrix& w, const Rows& x, size_t m, size_t begin, size_t end, float* out,
                    size_t out_stride) {
  const size_t stretch = (end - begin) / kTiles;
  for (size_t i = 0; i < stretch; ++i) {
    size_t tiles[kTiles];
    for (size_t tile = 0; tile < kTiles; ++tile) {
      tiles[tile] = begin + tile * stretch + i;
    }
    MultiplyTiles<kTokens, kTiles>(w, x, m, tiles, out, out_stride);
  }
  for (size_t tile = begin + stretch * kTiles; tile < end; ++tile) {
    MultiplyTiles<kTokens, 1>(w, x, m, &tile, out, out_stride);
  }
}

template <size_t kTokens, size_t kTiles>
constexpr auto kTernary = MultiplyTokens<TernaryMatrix, Int8Rows, kTokens, kTiles>;
template <size_t kTokens, size_t kTiles>
constexpr auto kInt8 = MultiplyTokens<Int8Matrix, WideRows, kTokens, kTiles>;

// For 1, 2, 3 ... tokens. Accumulators, at most 24 of 32 registers: two a token and tile, twice as
// many for the head.
constexpr decltype(kTernary<1, 1>) kTernaryTokens[] = {
    kTernary<1, 2>, kTernary<2, 2>,  kTernary<3, 2>,  kTernary<4, 2>,
    kTernary<5, 1>, kTernary<6, 1>,  kTernary<7, 1>,  kTernary<8, 1>,
    kTernary<9, 1>, kTernary<10, 1>, kTernary<11, 1>, kTernary<12, 1>,
};
constexpr decltype(kInt8<1, 1>) kInt8Tokens[] = {
    kInt8<1, 2>, kInt8<2, 2>, kInt8<3, 2>, kInt8<4, 1>, kInt8<5, 1>, kInt8<6, 1>,
};

// Tiles to pass through all tokens before the next ones come: they stay in L1 and L2 meanwhile.
constexpr size_t kPanelTiles = 4;

// functions[i] takes i + 1 tokens: they are split into blocks of nearly equal size.
template <class Function, size_t kMaxTokens, class Matrix, class Rows>
inline void Gemm(const Function (&functions)[kMaxTokens], const Matrix& w, const Rows& x,
                 size_t begin, size_t end, float* out, size_t out_stride) {
  const size_t num_blocks = (x.num_rows + kMaxTokens - 1) / kMaxTokens;
  const size_t step = num_blocks > 1 ? kPanelTiles : end - begin;
  for (size_t tile = begin; tile < end; tile += step) {
    const size_t tile_end = end - tile < step ? end : tile + step;
    for (size_t block = 0; block < num_blocks; ++block) {
      const size_t m = x.num_rows * block / num_blocks;
      const size_t m_end = x.num_rows * (block + 1) / num_blocks;
      functions[m_end - m - 1](w, x, m, tile, tile_end, out, out_stride);
    }
  }
}

void TernaryGemm(const TernaryMatrix* w, const Int8Rows* x, size_t tile_begin, size_t tile_end,
                 float* out, size_t out_stride) {
  Gemm(kTernaryTokens, *w, *x, tile_begin, tile_end, out, out_stride);
}

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

constexpr struct TernaryPacking kPackings[] = {
    {.name = "2bit", .bytes = TernaryBytes, .pack = TernaryPack, .gemm = TernaryGemm},
};

}  // namespace

const Kernels kAvx512VnniKernels = {
    .name = "avx512_vnni",
    .required = kAvx2 | kFma | kF16c | kBmi2 | kAvx512 | kAvx512Vnni,
    .packings = kPackings,
    .num_packings = sizeof kPackings / sizeof kPackings[0],
    .int8_bytes = Int8Bytes,
    .int8_pack = Int8Pack<4, 128>,
    .wide_quantize = WideQuantize,
    .int8_gemm = Int8Gemm,
    .bf16_gemm = Bf16Gemm,
    .rms_norm = RmsNorm,
    .quantize = Quantize,
    .relu2_mul = Relu2Mul,
    .add = AddRow,
    .widen = WidenRow,
    .rope = Rope,
    .store_kv = StoreKv,
    .attention = kAttention,
    .argmax = Argmax,
    .sum_exp = SumExp,
    .gumbel_argmax = GumbelArgmax,
};

}  // namespace tercet
