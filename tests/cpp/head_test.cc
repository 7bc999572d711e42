// The head: its activations, and the unpacked bfloat16 table.
#include <cmath>

#include "fixtures.h"

namespace tercet::test {
namespace {

constexpr float kUntouched = -12345.0f;

}  // namespace

KERNEL_TEST(head_quantize_of_rows_with_nan_and_infinity_stays_within_the_limit) {
  std::vector<float> x(64, 1.0f);
  x[3] = NAN;
  x[7] = INFINITY;
  Aligned<uint8_t> values(2 * kHeadAlign);
  float scale = 0.0f;
  int32_t sum = 0;
  kernels.head_quantize(x.data(), 64, values.get(), &scale, &sum);
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
