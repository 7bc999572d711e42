// Ternary weights at 2 bits with a scale for every group of columns, for 256-bit sets.
//
// A group is at most 16 lines, one panel (panel.h), and its integer sums fit in the lanes of one:
// they become floats at its end and join the rows' results, fused, which wait in memory.
#pragma once

#include "kernels/avx2/panel.h"

namespace tercet {
namespace {

static_assert(kMaxGroup / 16 <= kLinesAtOnce);

// The results of tokens × the rows of a tile, before the rows' own scales.
using Totals = float[kTokensAtOnce][kTileRows];

inline __m256 LoadScales(const uint8_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

// totals += float(sums) * (scales * scale), for eight rows.
inline void AddScaled(__m256i sums, __m256 scales, float scale, float* totals) {
  const __m256 both = _mm256_mul_ps(scales, _mm256_set1_ps(scale));
  const __m256 total = _mm256_loadu_ps(totals);
  _mm256_storeu_ps(totals, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), both, total));
}

// Group g of a tile for a few tokens, straight from its lines.
template <size_t kTokens, size_t kVectors>
inline void AddGroupOfFew(const uint8_t* bytes, const GroupedMatrix& w, const GroupedRows& x,
                          size_t g, Totals& totals) {
  for (size_t first = 0; first < kTileGroups; first += kVectors) {
    __m256i sums[kTokens][kVectors];
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) {
        sums[t][v] = _mm256_set1_epi32(-x.sums[t * x.num_groups + g]);
      }
    }
    AddLines(bytes + kGroupScaleBytes + first * kVectorBytes, x.values + g * w.group, x.stride, 0,
             w.group / 16, sums);
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      const __m256 scales = LoadScales(bytes + (first + v) * kGroupRows * sizeof(uint16_t));
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; ++t) {
        AddScaled(sums[t][v], scales, x.scales[t * x.num_groups + g],
                  totals[t] + (first + v) * kGroupRows);
      }
    }
  }
}

using AddGroupFunction = void (*)(const uint8_t*, const GroupedMatrix&, const GroupedRows&, size_t,
                                  Totals&);
constexpr AddGroupFunction kAddGroupOfFew[] = {AddGroupOfFew<1, 4>, AddGroupOfFew<2, 4>,
                                               AddGroupOfFew<3, 2>, AddGroupOfFew<4, 2>};

// Group g of a tile for tokens [begin, end), unpacked once for all of them.
inline void AddGroup(const uint8_t* bytes, const GroupedMatrix& w, const GroupedRows& x, size_t g,
                     size_t begin, size_t end, Totals& totals) {
  const size_t num_tokens = end - begin;
  const size_t num_blocks = (num_tokens + kMaxTokens - 1) / kMaxTokens;
  alignas(64) Sums sums;
  for (size_t t = 0; t < num_tokens; ++t) {
    for (size_t v = 0; v < kTileGroups; ++v) {
      StoreVector(_mm256_set1_epi32(-x.sums[(begin + t) * x.num_groups + g]),
                  sums[t] + v * kGroupRows);
    }
  }
  Panel panel;
  Unpack(bytes + kGroupScaleBytes, w.group / 16, panel);
  const int8_t* values = x.values + begin * x.stride + g * w.group;
  for (size_t block = 0; block < num_blocks; ++block) {
    const size_t m = num_tokens * block / num_blocks;
    const size_t m_end = num_tokens * (block + 1) / num_blocks;
    kAddPanel[m_end - m - 1](panel, w.group / 4, values + m * x.stride, x.stride, sums, m);
  }
  for (size_t v = 0; v < kTileGroups; ++v) {
    const __m256 scales = LoadScales(bytes + v * kGroupRows * sizeof(uint16_t));
    for (size_t t = 0; t < num_tokens; ++t) {
      AddScaled(LoadVector(sums[t] + v * kGroupRows), scales,
                x.scales[(begin + t) * x.num_groups + g], totals[t] + v * kGroupRows);
    }
  }
}

inline void MultiplyGroupedTile(const GroupedMatrix& w, const GroupedRows& x, size_t begin,
                                size_t end, size_t tile, float* out, size_t out_stride) {
  alignas(64) Totals totals;
  memset(totals, 0, (end - begin) * sizeof *totals);
  const uint8_t* bytes = w.packed + tile * x.num_groups * GroupBytes(w.group);
  for (size_t g = 0; g < x.num_groups; ++g, bytes += GroupBytes(w.group)) {
    if (x.num_rows <= kMaxFewTokens) {
      kAddGroupOfFew[x.num_rows - 1](bytes, w, x, g, totals);
    } else {
      AddGroup(bytes, w, x, g, begin, end, totals);
    }
  }
  const size_t rows_left = w.rows - tile * kTileRows;
  const size_t num_rows = rows_left < kTileRows ? rows_left : kTileRows;
  for (size_t t = begin; t < end; ++t) {
    float* row = totals[t - begin];
    for (size_t n = 0; n < kTileRows; n += kGroupRows) {
      const __m256 row_scales = _mm256_loadu_ps(w.row_scales + tile * kTileRows + n);
      _mm256_storeu_ps(row + n, _mm256_mul_ps(_mm256_loadu_ps(row + n), row_scales));
    }
    memcpy(out + t * out_stride + tile * kTileRows, row, num_rows * sizeof *row);
  }
}

void GroupedTwoBitGemm(const GroupedMatrix* w, const GroupedRows* x, size_t tile_begin,
                       size_t tile_end, float* out, size_t out_stride) {
  for (size_t tile = tile_begin; tile < tile_end; ++tile) {
    ForStretches(x->num_rows, kTokensAtOnce, [&](size_t begin, size_t end) {
      MultiplyGroupedTile(*w, *x, begin, end, tile, out, out_stride);
    });
  }
}

constexpr GroupedPacking kGroupedPackings[] = {{.name = "2bit",
                                                .bytes = GroupedTernaryBytes,
                                                .pack = GroupedTernaryPack,
                                                .gemm = GroupedTwoBitGemm,
                                                .is_tiles = true}};

}  // namespace
}  // namespace tercet
