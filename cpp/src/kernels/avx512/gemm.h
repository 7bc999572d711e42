// What every product of AVX-512 with VNNI shares: from lines in memory to rows of floats.
//
// VPDPBUSD adds to each 32-bit lane four products of an unsigned by a signed byte. A lane is a row,
// its four bytes are four columns, and the activations of those columns are broadcast: no sum ever
// crosses lanes. A tile of 32 rows is two groups of 16, one vector each.
//
// A way of keeping weights is a struct: the types Matrix and Rows, and
//
//   // Tokens [m, m + kTokens) × the rows of kTiles tiles.
//   template <size_t kTokens, size_t kTiles>
//   static void MultiplyTiles(const Matrix&, const Rows&, size_t m, const size_t* tiles,
//                             float* out, size_t out_stride);
//
// A packing's lines are a struct as well, which says how one becomes operands:
//
//   kOperands                            operands of VPDPBUSD in a line, four columns each
//   static Line Begin(__m512i bytes);
//   static __m512i Operand(const Line&, size_t j);  // the codes of columns 4 j .. 4 j + 3
//
// `Gemm` cuts the tokens into blocks, whose accumulators stay in registers over a whole row. For up
// to four tokens memory is the bound, and two tiles are walked as two streams; for more, what a
// line becomes is shared by as many tokens as registers hold, and VPDPBUSD itself is the bound.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/lanes_avx512.h"
// The lanes come first: the algorithms are written over them.
#include "kernels/generic/math.h"

namespace tercet {
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

// Adds the first `num_operands` operands of a line of each vector, times the tokens' `values` at
// the line's first column.
template <class Lines, size_t kTokens, size_t kVectors>
__attribute__((always_inline)) inline void AddLine(const uint8_t* const (&lines)[kVectors],
                                                   size_t line, size_t num_operands,
                                                   const int8_t* values, size_t stride,
                                                   __m512i (&sums)[kTokens][kVectors]) {
  typename Lines::Line parts[kVectors];
#pragma GCC unroll 8
  for (size_t v = 0; v < kVectors; ++v) {
    parts[v] = Lines::Begin(LoadLine(lines[v] + line * kLineBytes));
  }
#pragma GCC unroll 5
  for (size_t j = 0; j < Lines::kOperands; ++j) {
    if (j == num_operands) {
      return;
    }
    __m512i codes[kVectors];
#pragma GCC unroll 8
    for (size_t v = 0; v < kVectors; ++v) {
      codes[v] = Lines::Operand(parts[v], j);
    }
#pragma GCC unroll 12
    for (size_t t = 0; t < kTokens; ++t) {
      const __m512i four = BroadcastFour(values + t * stride + j * 4);
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        sums[t][v] = DotProduct(sums[t][v], codes[v], four);
      }
    }
  }
}

inline void StoreRows(Floats result, size_t rows_left, float* out) {
  if (rows_left >= kGroupRows) {
    Store(result, out);
  } else {
    Store(result, out, First{rows_left});
  }
}

// out = float(sums) * (scale * row_scales), for the rows of a group that exist.
inline void StoreGroup(__m512i sums, float scale, const float* row_scales, size_t rows_left,
                       float* out) {
  const Floats scales = Mul(Broadcast(scale), Load(row_scales));
  StoreRows(Mul(ToFloats({sums}), scales), rows_left, out);
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

// Tokens [m, m + kTokens) × tiles [begin, end): kTiles streams, each its own stretch of the range.
template <class Weights, size_t kTokens, size_t kTiles>
void MultiplyTokens(const typename Weights::Matrix& w, const typename Weights::Rows& x, size_t m,
                    size_t begin, size_t end, float* out, size_t out_stride) {
  const size_t stretch = (end - begin) / kTiles;
  for (size_t i = 0; i < stretch; ++i) {
    size_t tiles[kTiles];
    for (size_t tile = 0; tile < kTiles; ++tile) {
      tiles[tile] = begin + tile * stretch + i;
    }
    Weights::template MultiplyTiles<kTokens, kTiles>(w, x, m, tiles, out, out_stride);
  }
  for (size_t tile = begin + stretch * kTiles; tile < end; ++tile) {
    Weights::template MultiplyTiles<kTokens, 1>(w, x, m, &tile, out, out_stride);
  }
}

template <class Weights>
using TokensFunction = decltype(&MultiplyTokens<Weights, 1, 1>);

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

}  // namespace
}  // namespace tercet
