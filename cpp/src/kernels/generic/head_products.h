// The head's products over any set's HeadSums: rows and tokens in blocks of what its registers
// hold.
#pragma once

#include "kernels/kernels.h"

namespace tercet {
namespace {

// Rows to pass through all tokens before the next ones come: both planes of them stay in L1.
constexpr size_t kHeadPanelRows = 16;

// How far ahead memory is asked for where rows are passed once: beyond the four rows in work.
constexpr size_t kHeadAheadBytes = 16384;

// What is asked for meanwhile: every so many blocks of rows, beginning with number `first`, a block
// asks for what lies `bytes` after it. The blocks of tokens share the next panel among them.
struct HeadAhead {
  size_t bytes;
  size_t first;
  size_t every;
};

struct HeadPlanes {
  const uint8_t* high;
  const uint8_t* low;  // null where kBoth is false
  size_t row_bytes;
};

// Calls put(m, n, sum) for kTokens tokens from m and rows [begin, end).
template <bool kBoth, size_t kTokens, class Put>
inline void HeadRowsOf(const HeadPlanes& planes, const WideRows& x, size_t m, size_t begin,
                       size_t end, const HeadAhead& ahead, const Put& put) {
  constexpr size_t kRows = kHeadRows<kTokens>;
  size_t number = 0;
  const auto block = [&](size_t n, auto& sums) {
    const uint8_t* low = kBoth ? planes.low + n * planes.row_bytes : nullptr;
    HeadSums<kBoth>(planes.high + n * planes.row_bytes, low, planes.row_bytes,
                    x.values + m * x.stride, x.stride,
                    number++ % ahead.every == ahead.first ? ahead.bytes : 0, sums);
    for (size_t t = 0; t < kTokens; ++t) {
      for (size_t i = 0; i < sizeof sums[t] / sizeof sums[t][0]; ++i) {
        put(m + t, n + i, sums[t][i]);
      }
    }
  };
  size_t n = begin;
  for (; n + kRows <= end; n += kRows) {
    int32_t sums[kTokens][kRows];
    block(n, sums);
  }
  for (; n < end; ++n) {
    int32_t sums[kTokens][1];
    block(n, sums);
  }
}

// The same for `count` tokens, at most kTokens.
template <bool kBoth, size_t kTokens, class Put>
inline void HeadBlock(size_t count, const HeadPlanes& planes, const WideRows& x, size_t m,
                      size_t begin, size_t end, const HeadAhead& ahead, const Put& put) {
  if (count == kTokens) {
    HeadRowsOf<kBoth, kTokens>(planes, x, m, begin, end, ahead, put);
  } else if constexpr (kTokens > 1) {
    HeadBlock<kBoth, kTokens - 1>(count, planes, x, m, begin, end, ahead, put);
  }
}

// The same for all tokens, split into blocks of nearly equal size.
template <bool kBoth, class Put>
inline void HeadProducts(const HeadPlanes& planes, const WideRows& x, size_t begin, size_t end,
                         const Put& put) {
  const size_t num_blocks = (x.num_rows + kHeadTokens - 1) / kHeadTokens;
  const size_t step = num_blocks > 1 ? kHeadPanelRows : end - begin;
  for (size_t row = begin; row < end; row += step) {
    const size_t row_end = end - row < step ? end : row + step;
    for (size_t block = 0; block < num_blocks; ++block) {
      const size_t m = x.num_rows * block / num_blocks;
      const size_t m_end = x.num_rows * (block + 1) / num_blocks;
      const HeadAhead ahead{num_blocks > 1 ? step * planes.row_bytes : kHeadAheadBytes, block,
                            num_blocks};
      HeadBlock<kBoth, kHeadTokens>(m_end - m, planes, x, m, row, row_end, ahead, put);
    }
  }
}

inline void HeadDots(const uint8_t* plane, size_t cols, const WideRows* x, size_t row_begin,
                     size_t row_end, int32_t* out, size_t out_stride) {
  const HeadPlanes planes{plane, nullptr, HeadRowBytes(cols)};
  HeadProducts<false>(planes, *x, row_begin, row_end, [&](size_t m, size_t n, int32_t sum) {
    out[m * out_stride + n - row_begin] = sum;
  });
}

inline void HeadGemm(const HeadMatrix* w, const WideRows* x, size_t row_begin, size_t row_end,
                     float* out, size_t out_stride) {
  const HeadPlanes planes{w->high, w->low, HeadRowBytes(w->cols)};
  HeadProducts<true>(planes, *x, row_begin, row_end, [&](size_t m, size_t n, int32_t sum) {
    const uint32_t taken_off = 128u * static_cast<uint32_t>(x->sums[m]);
    const auto exact = static_cast<int32_t>(static_cast<uint32_t>(sum) - taken_off);
    out[m * out_stride + n] = static_cast<float>(exact) * (x->scales[m] * w->row_scales[n]);
  });
}

}  // namespace
}  // namespace tercet
