// What every product of 256-bit sets shares: from vectors of columns to rows of floats.
//
// A 32-bit lane is a row, its four bytes (or two halves) are consecutive columns, and the
// activations of those columns are broadcast: no sum crosses lanes. A tile of 32 rows is four
// groups of 8, one vector each.
//
// The products are written over the names that the set supplies (dot_maddubs.h, dot_vnni.h):
//
//   MultiplyAdd(sum, codes, four)  adds products of codes 0 to 2 and signed bytes to `sum`, in
//                                  whatever lanes it likes
//   kMaxAdditions                  how often one sum may be added to, from zero
//   Wide(sum)                      such a sum as 32-bit lanes, a row's four columns joined
//   MultiplyAddPairs(sum, a, b)    adds products of pairs of signed 16 bits to 32-bit lanes
//   kMaxTokens                     tokens whose sums for two groups stay in registers, at most 6
#pragma once

#include "kernels/generic/math.h"

namespace tercet {
namespace {

constexpr size_t kGroupRows = 8;
constexpr size_t kTileGroups = kTileRows / kGroupRows;
constexpr size_t kVectorBytes = 4 * kGroupRows;
constexpr size_t kLineBytes = kTileGroups * kVectorBytes;

// How far ahead of the line in work memory is asked for: without it multiplying and waiting
// alternate, as the window of one core is too short to overlap them.
constexpr size_t kPrefetchBytes = 4096;

inline void Prefetch(const uint8_t* line) {
  _mm_prefetch(reinterpret_cast<const char*>(line) + kPrefetchBytes, _MM_HINT_T0);
}

inline __m256i LoadVector(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

inline void StoreVector(__m256i x, void* to) { _mm256_storeu_si256(static_cast<__m256i*>(to), x); }

inline __m256i BroadcastFour(const void* from) {
  int32_t four = 0;
  memcpy(&four, from, sizeof four);
  return _mm256_set1_epi32(four);
}

template <size_t kTokens, size_t kGroups>
inline void SetZero(__m256i (&sums)[kTokens][kGroups]) {
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (size_t group = 0; group < kGroups; ++group) {
      sums[t][group] = _mm256_setzero_si256();
    }
  }
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
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
      StoreGroup(sums[t][group], x.scales[m + t], w.row_scales + row, w.rows - row,
                 out + (m + t) * out_stride + row);
    }
  }
}

// Calls body(begin, end) for stretches of nearly equal size, at most `most`.
template <class Body>
inline void ForStretches(size_t size, size_t most, Body body) {
  const size_t count = (size + most - 1) / most;
  for (size_t i = 0; i < count; ++i) {
    body(size * i / count, size * (i + 1) / count);
  }
}

}  // namespace
}  // namespace tercet
