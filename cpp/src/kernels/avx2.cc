// Kernels for AVX2 with FMA (Haswell, Zen 1 and later).
//
// VPMADDUBSW multiplies unsigned by signed bytes and adds neighbours into 16 bits. A ternary weight
// w is stored as the code w + 1 in {0, 1, 2}, so a pair is between -512 and 508, and 64 of them,
// between -32768 and 32512, can be added in 16 bits before they are widened. The sum of the
// activations is taken off at the end:  sum a*w = sum a*(w + 1) - sum a.  A 32-bit lane is a row,
// its four bytes are four columns, and the activations of those columns are broadcast.
//
// A tile of 32 rows is a sequence of lines, a line being four groups of 8 rows × 16 columns at 2
// bits (generic/pack.h). Tokens share the masks, with at most eight accumulators among the 16
// registers. Adding and masking take as many operations as multiplying: arithmetic is the bound,
// for one token too where a core reads more than eight bytes per cycle.
//
// The head's int8 weights are widened to 16 bits and multiplied in pairs of columns by VPMADDWD
// with activations of 13 bits, kept as int16: a pair is below 2^22, and all sums fit (HeadLimit).
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/lanes_avx2.h"
// The lanes come first: the algorithms are written over them.
#include "kernels/generic/attention.h"
#include "kernels/generic/logits.h"
#include "kernels/generic/pack.h"
#include "kernels/generic/rows.h"

namespace tercet {

extern const Kernels kAvx2Kernels;

namespace {

constexpr size_t kGroupRows = 8;
constexpr size_t kGroupBytes = 4 * kGroupRows;
constexpr size_t kLineBytes = 4 * kTileRows;
// Four additions a line: 64 fit 16 bits.
constexpr size_t kLinesUntilWide = 16;

// How far ahead of the line in work memory is asked for: without it multiplying and waiting
// alternate, as the window of one core is too short to overlap them.
constexpr size_t kPrefetchBytes = 4096;

inline void Prefetch(const uint8_t* line) {
  _mm_prefetch(reinterpret_cast<const char*>(line) + kPrefetchBytes, _MM_HINT_T0);
}

// The empty statements keep GCC 12 from holding a second copy of a sum for after the loop.
inline void AddTo16(__m256i& sum, __m256i pairs) {
  sum = _mm256_add_epi16(sum, pairs);
  __asm__("" : "+x"(sum));
}

inline void AddTo32(__m256i& sum, __m256i pairs) {
  sum = _mm256_add_epi32(sum, pairs);
  __asm__("" : "+x"(sum));
}

inline __m256i LoadLine(const uint8_t* from) {
  Prefetch(from);
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

inline __m256i BroadcastFour(const void* from) {
  int32_t four = 0;
  memcpy(&four, from, sizeof four);
  return _mm256_set1_epi32(four);
}

// out = float(sums) * (scale * row_scales), for the rows of a group that exist.
inline void StoreGroup(__m256i sums, float scale, const float* row_scales, size_t rows_left,
                       float* out) {
  const __m256 scales = _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_loadu_ps(row_scales));
  const __m256 result = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales);
  if (rows_left >= kGroupRows) {
    _mm256_storeu_ps(out, result);
  } else {
    float rows[kGroupRows];
    _mm256_storeu_ps(rows, result);
    memcpy(out, rows, rows_left * sizeof *rows);
  }
}

template <size_t kTokens, size_t kGroups, class Matrix, class Rows>
inline void StoreGroups(const Matrix& w, const Rows& x, size_t m, size_t n,
                        const __m256i (&sums)[kTokens][kGroups], float* out, size_t out_stride) {
#pragma GCC unroll 4
  for (size_t group = 0; group < kGroups; ++group) {
    const size_t row = n + group * kGroupRows;
    if (row >= w.rows) {
      return;
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < kTokens; ++t) {
      StoreGroup(sums[t][group], x.scales[m + t], w.row_scales + row, w.rows - row,
                 out + (m + t) * out_stride + row);
    }
  }
}

// Lines [begin, end), at most kLinesUntilWide, of tokens × groups, added to `sums`.
template <size_t kTokens, size_t kGroups>
inline void AddLines(const uint8_t* const (&lines)[kGroups], const int8_t* values, size_t stride,
                     size_t begin, size_t end, __m256i (&sums)[kTokens][kGroups]) {
  const __m256i mask = _mm256_set1_epi8(3);
  __m256i narrow[kTokens][kGroups];
#pragma GCC unroll 4
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      narrow[t][group] = _mm256_setzero_si256();
    }
  }
  for (size_t line = begin; line < end; ++line) {
    __m256i packed[kGroups];
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      packed[group] = LoadLine(lines[group] + line * kLineBytes);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      __m256i codes[kGroups];
#pragma GCC unroll 4
      for (size_t group = 0; group < kGroups; ++group) {
        codes[group] = _mm256_and_si256(packed[group], mask);
        packed[group] = _mm256_srli_epi16(packed[group], 2);
      }
#pragma GCC unroll 4
      for (size_t t = 0; t < kTokens; ++t) {
        const __m256i four = BroadcastFour(values + t * stride + line * 16 + j * 4);
#pragma GCC unroll 4
        for (size_t group = 0; group < kGroups; ++group) {
          AddTo16(narrow[t][group], _mm256_maddubs_epi16(codes[group], four));
        }
      }
    }
  }
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      sums[t][group] = _mm256_add_epi32(sums[t][group], _mm256_madd_epi16(narrow[t][group], ones));
    }
  }
}

// Tokens [m, m + kTokens) × rows [n, n + kGroups * kGroupRows).
template <size_t kTokens, size_t kGroups>
inline void MultiplyGroups(const TernaryMatrix& w, const Int8Rows& x, size_t m, size_t n,
                           float* out, size_t out_stride) {
  const size_t num_lines = x.stride / 16;
  const uint8_t* tile = w.packed + n / kTileRows * num_lines * kLineBytes;
  const uint8_t* lines[kGroups];
#pragma GCC unroll 4
  for (size_t group = 0; group < kGroups; ++group) {
    lines[group] = tile + (n % kTileRows / kGroupRows + group) * kGroupBytes;
  }
  __m256i sums[kTokens][kGroups];
#pragma GCC unroll 4
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      sums[t][group] = _mm256_set1_epi32(-x.sums[m + t]);
    }
  }
  for (size_t line = 0; line < num_lines; line += kLinesUntilWide) {
    const size_t end = num_lines - line < kLinesUntilWide ? num_lines : line + kLinesUntilWide;
    AddLines(lines, x.values + m * x.stride, x.stride, line, end, sums);
  }
  StoreGroups(w, x, m, n, sums, out, out_stride);
}

// The same for the head.
template <size_t kTokens, size_t kGroups>
inline void MultiplyGroups(const Int8Matrix& w, const WideRows& x, size_t m, size_t n, float* out,
                           size_t out_stride) {
  const size_t padded = x.stride / 2;
  const uint8_t* weights = w.packed + n / kTileRows * kTileRows * padded + n % kTileRows * 2;
  const uint8_t* values = x.values + m * x.stride;
  __m256i sums[kTokens][kGroups];
#pragma GCC unroll 4
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      sums[t][group] = _mm256_setzero_si256();
    }
  }
  for (size_t k = 0; k < padded; k += 2) {
    Prefetch(weights + k * kTileRows);
    __m256i line[kGroups];
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      const uint8_t* from = weights + k * kTileRows + group * kGroupRows * 2;
      line[group] = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < kTokens; ++t) {
      const __m256i two = BroadcastFour(values + t * x.stride + k * 2);
#pragma GCC unroll 4
      for (size_t group = 0; group < kGroups; ++group) {
        AddTo32(sums[t][group], _mm256_madd_epi16(line[group], two));
      }
    }
  }
  StoreGroups(w, x, m, n, sums, out, out_stride);
}

template <class Matrix, class Rows, size_t kTokens, size_t kGroups>
void MultiplyTokens(const Matrix& w, const Rows& x, size_t m, size_t tile, float* out,
                    size_t out_stride) {
  for (size_t n = tile * kTileRows; n < (tile + 1) * kTileRows; n += kGroups * kGroupRows) {
    MultiplyGroups<kTokens, kGroups>(w, x, m, n, out, out_stride);
  }
}

template <size_t kTokens, size_t kGroups>
constexpr auto kTernary = MultiplyTokens<TernaryMatrix, Int8Rows, kTokens, kGroups>;
template <size_t kTokens, size_t kGroups>
constexpr auto kInt8 = MultiplyTokens<Int8Matrix, WideRows, kTokens, kGroups>;

// For 1, 2, 3 and 4 tokens. Tokens × groups accumulators, at most 8 of 16 registers.
constexpr decltype(kTernary<1, 4>) kTernaryTokens[] = {kTernary<1, 4>, kTernary<2, 4>,
                                                       kTernary<3, 2>, kTernary<4, 2>};
constexpr decltype(kInt8<1, 4>) kInt8Tokens[] = {kInt8<1, 4>, kInt8<2, 4>, kInt8<3, 2>,
                                                 kInt8<4, 2>};

// functions[i] takes i + 1 tokens: they are split into blocks of nearly equal size.
template <class Function, size_t kMaxTokens, class Matrix, class Rows>
inline void Gemm(const Function (&functions)[kMaxTokens], const Matrix& w, const Rows& x,
                 size_t begin, size_t end, float* out, size_t out_stride) {
  const size_t num_blocks = (x.num_rows + kMaxTokens - 1) / kMaxTokens;
  for (size_t tile = begin; tile < end; ++tile) {
    for (size_t block = 0; block < num_blocks; ++block) {
      const size_t m = x.num_rows * block / num_blocks;
      const size_t m_end = x.num_rows * (block + 1) / num_blocks;
      functions[m_end - m - 1](w, x, m, tile, out, out_stride);
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

constexpr struct TernaryPacking kPackings[] = {
    {.name = "2bit", .bytes = TernaryBytes, .pack = TernaryPack, .gemm = TernaryGemm},
};

}  // namespace

const Kernels kAvx2Kernels = {
    .name = "avx2",
    .required = kAvx2 | kFma | kF16c | kBmi2,
    .packings = kPackings,
    .num_packings = sizeof kPackings / sizeof kPackings[0],
    .int8_bytes = Int8Bytes,
    .int8_pack = Int8Pack<2, 0>,
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
