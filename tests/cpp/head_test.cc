// The head: int8 weights × 13-bit activations, and the unpacked bfloat16 table.
#include <cmath>

#include "fixtures.h"

namespace tercet::test {
namespace {

struct Head {
  Aligned<uint8_t> packed;
  std::vector<float> row_scales;

  Head(const Kernels& kernels, const std::vector<uint16_t>& table, size_t stride, size_t rows,
       size_t cols)
      : packed(kernels.int8_bytes(rows, cols), 0xEE), row_scales(RoundUp(rows, kTileRows), -1.0f) {
    for (size_t tile = 0; tile < row_scales.size() / kTileRows; ++tile) {
      kernels.int8_pack(table.data(), stride, rows, cols, tile, packed.get(), row_scales.data());
    }
  }
};

constexpr float kUntouched = -12345.0f;

std::vector<float> Product(const Kernels& kernels, const std::vector<uint16_t>& table,
                           size_t table_stride, size_t rows, size_t cols,
                           const std::vector<float>& x, size_t tile_begin, size_t tile_end) {
  const Head head(kernels, table, table_stride, rows, cols);
  const size_t tokens = x.size() / cols;
  const size_t stride = 2 * RoundUp(cols, kColumnAlign);
  Aligned<uint8_t> values(tokens * stride, 0xEE);
  std::vector<float> scales(tokens);
  std::vector<int32_t> sums(tokens);
  for (size_t m = 0; m < tokens; ++m) {
    kernels.wide_quantize(&x[m * cols], cols, values.get() + m * stride, &scales[m], &sums[m]);
  }
  const Int8Matrix w{head.packed.get(), head.row_scales.data(), rows, cols};
  const WideRows wide{values.get(), scales.data(), sums.data(), tokens, stride};
  std::vector<float> out(tokens * rows, kUntouched);
  kernels.int8_gemm(&w, &wide, tile_begin, tile_end, out.data(), rows);
  return out;
}

// Both quantisations and the sum, as the contract words them.
std::vector<float> Wanted(const std::vector<uint16_t>& table, size_t table_stride, size_t rows,
                          size_t cols, const std::vector<float>& x, size_t tile_begin,
                          size_t tile_end) {
  const size_t tokens = x.size() / cols;
  const float limit = static_cast<float>(HeadLimit(cols));
  std::vector<float> out(tokens * rows, kUntouched);
  for (size_t m = 0; m < tokens; ++m) {
    float a = 1e-5f;
    for (size_t k = 0; k < cols; ++k) a = std::fmax(a, std::fabs(x[m * cols + k]));
    const float s = limit / a;
    for (size_t n = tile_begin * kTileRows; n < std::min(rows, tile_end * kTileRows); ++n) {
      float largest = 0.0f;
      for (size_t k = 0; k < cols; ++k) {
        largest = std::fmax(largest, std::fabs(Widened(table[n * table_stride + k])));
      }
      int64_t sum = 0;
      for (size_t k = 0; k < cols && largest > 0.0f; ++k) {
        const float weight =
            std::nearbyint(Widened(table[n * table_stride + k]) * (127.0f / largest));
        sum += std::lrint(x[m * cols + k] * s) * static_cast<int64_t>(weight);
      }
      const float row_scale = largest > 0.0f ? largest / 127.0f : 1.0f;
      out[m * rows + n] = static_cast<float>(sum) * ((a / limit) * row_scale);
    }
  }
  return out;
}

void ExpectRight(const Kernels& kernels, Random& random, size_t rows, size_t cols, size_t tokens) {
  const std::vector<uint16_t> table = random.Bf16(rows * cols);
  const std::vector<float> x = random.Normals(tokens * cols);
  const size_t tiles = RoundUp(rows, kTileRows) / kTileRows;
  ExpectSameBits(Product(kernels, table, cols, rows, cols, x, 0, tiles),
                 Wanted(table, cols, rows, cols, x, 0, tiles), At({rows, cols, tokens}));
}

}  // namespace

KERNEL_TEST(int8_gemm_is_exact_for_every_number_of_rows) {
  Random random(10);
  for (size_t rows = 1; rows <= 70; ++rows) ExpectRight(kernels, random, rows, 72, rows % 3 + 1);
}

KERNEL_TEST(int8_gemm_is_exact_for_every_number_of_columns) {
  Random random(11);
  for (size_t cols = 1; cols <= 200; ++cols) ExpectRight(kernels, random, 35, cols, cols % 3 + 1);
}

KERNEL_TEST(int8_gemm_is_exact_for_every_number_of_tokens) {
  Random random(12);
  for (size_t tokens = 1; tokens <= 40; ++tokens) ExpectRight(kernels, random, 300, 70, tokens);
}

KERNEL_TEST(int8_gemm_holds_the_largest_sum_there_is) {
  for (const size_t cols : {64u, 2560u, 6912u, 20000u}) {
    for (const float sign : {1.0f, -1.0f}) {
      const std::vector<uint16_t> table(cols, 0x3f80);  // 1.0
      const std::vector<float> x(cols, sign);
      const float limit = static_cast<float>(HeadLimit(cols));
      const float sum =
          static_cast<float>(int64_t{HeadLimit(cols)} * 127 * static_cast<int64_t>(cols));
      const float wanted = sign * sum * ((1.0f / limit) * (1.0f / 127.0f));
      ExpectSameBits(Product(kernels, table, cols, 1, cols, x, 0, 1), {wanted}, At({cols}));
    }
  }
}

KERNEL_TEST(int8_gemm_writes_the_rows_of_its_tiles_and_nothing_else) {
  Random random(13);
  constexpr size_t kRows = 6 * kTileRows + 9;
  const std::vector<uint16_t> table = random.Bf16(kRows * 80);
  for (const size_t tokens : {1u, 3u, 8u}) {
    const std::vector<float> x = random.Normals(tokens * 70);
    for (size_t begin = 0; begin <= 7; ++begin) {
      for (size_t end = begin; end <= 7; ++end) {
        ExpectSameBits(Product(kernels, table, 80, kRows, 70, x, begin, end),
                       Wanted(table, 80, kRows, 70, x, begin, end), At({tokens, begin, end}));
      }
    }
  }
}

KERNEL_TEST(a_row_of_zeros_has_the_scale_one) {
  const std::vector<uint16_t> table(64, 0);
  const Head head(kernels, table, 64, 1, 64);
  EXPECT_EQ(head.row_scales[0], 1.0f);
  ExpectSameBits(Product(kernels, table, 64, 1, 64, std::vector<float>(64, 3.0f), 0, 1), {0.0f},
                 "");
}

KERNEL_TEST(wide_quantize_of_rows_with_nan_and_infinity_stays_within_the_limit) {
  std::vector<float> x(64, 1.0f);
  x[3] = NAN;
  x[7] = INFINITY;
  Aligned<uint8_t> values(128);
  float scale = 0.0f;
  int32_t sum = 0;
  kernels.wide_quantize(x.data(), 64, values.get(), &scale, &sum);
  EXPECT_EQ(sum, 2 * HeadLimit(64));
}

KERNEL_TEST(bf16_gemm_is_the_reference_for_every_size) {
  Random random(14);
  for (size_t cols = 1; cols <= 70; ++cols) {
    const size_t rows = cols % 9 + 1;
    const size_t tokens = cols % 7 + 1;
    const std::vector<uint16_t> table = random.Bf16((rows + 2) * (cols + 3));
    const std::vector<float> x = random.Normals(tokens * (cols + 1));
    std::vector<float> actual(tokens * (rows + 2), kUntouched);
    std::vector<float> wanted = actual;
    kernels.bf16_gemm(table.data(), cols + 3, cols, 1, rows + 1, x.data(), tokens, cols + 1,
                      actual.data(), rows + 2);
    Reference().bf16_gemm(table.data(), cols + 3, cols, 1, rows + 1, x.data(), tokens, cols + 1,
                          wanted.data(), rows + 2);
    ExpectSameBits(actual, wanted, At({rows, cols, tokens}));
  }
}

// Each product is exact in double. A lane of n / 16 fused additions and a tree of four more each
// lose half a unit in the last place of a partial sum, which is at most the sum of magnitudes.
KERNEL_TEST(bf16_gemm_agrees_with_double_precision) {
  Random random(15);
  constexpr size_t kCols = 2560;
  const std::vector<uint16_t> table = random.Bf16(kCols);
  const std::vector<float> x = random.Normals(kCols);
  double sum = 0.0;
  double magnitude = 0.0;
  for (size_t k = 0; k < kCols; ++k) {
    const double product = double{x[k]} * double{Widened(table[k])};
    sum += product;
    magnitude += std::fabs(product);
  }
  float actual = 0.0f;
  kernels.bf16_gemm(table.data(), kCols, kCols, 0, 1, x.data(), 1, kCols, &actual, 1);
  EXPECT(std::fabs(double{actual} - sum) <= magnitude * (kCols / 16 + 4) * 0x1p-24);
}

}  // namespace tercet::test
