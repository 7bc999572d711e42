// Kernels over one row of floats.
#include <cmath>
#include <limits>

#include "fixtures.h"

namespace tercet::test {
namespace {

struct Quantized {
  std::vector<int> values;
  float scale = 0.0f;
  int32_t sum = 0;
};

Quantized Quantize(const Kernels& kernels, const std::vector<float>& x) {
  Aligned<int8_t> values(RoundUp(x.size(), kColumnAlign), 0x55);
  Quantized q;
  kernels.quantize(x.data(), x.size(), 1e-5F, values.get(), &q.scale, &q.sum);
  q.values.assign(values.get(), values.get() + values.size());
  return q;
}

void ExpectSame(const Quantized& actual, const Quantized& wanted, const std::string& where) {
  EXPECT_EQ_AT(actual.scale, wanted.scale, where);
  EXPECT_EQ_AT(actual.sum, wanted.sum, where);
  EXPECT(actual.values == wanted.values);
}

}  // namespace

KERNEL_TEST(rms_norm_is_the_reference_for_every_length) {
  Random random(20);
  for (size_t n = 1; n <= 130; ++n) {
    const std::vector<float> x = random.Normals(n);
    const std::vector<float> weight = random.Normals(n);
    std::vector<float> actual(n);
    std::vector<float> wanted(n);
    kernels.rms_norm(x.data(), weight.data(), n, 1e-5f, actual.data());
    Reference().rms_norm(x.data(), weight.data(), n, 1e-5f, wanted.data());
    ExpectSameBits(actual, wanted, At({n}));
  }
}

KERNEL_TEST(rms_norm_may_write_over_its_input) {
  Random random(21);
  std::vector<float> x = random.Normals(100);
  const std::vector<float> weight = random.Normals(100);
  std::vector<float> wanted(100);
  kernels.rms_norm(x.data(), weight.data(), 100, 1e-5f, wanted.data());
  kernels.rms_norm(x.data(), weight.data(), 100, 1e-5f, x.data());
  ExpectSameBits(x, wanted, "");
}

// Sum of n squares: n / 16 fused additions in a lane and 4 in the tree, all of positive numbers, so
// the relative error is at most their number in half units; halved by the root. Then division,
// addition, root, reciprocal and two products: six more roundings.
KERNEL_TEST(rms_norm_agrees_with_double_precision) {
  Random random(22);
  for (const size_t n : {1u, 17u, 256u, 2560u, 6912u}) {
    const std::vector<float> x = random.Normals(n);
    const std::vector<float> weight = random.Normals(n);
    double squares = 0.0;
    for (const float value : x) squares += double{value} * double{value};
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(n) + double{1e-5f});
    std::vector<float> actual(n);
    kernels.rms_norm(x.data(), weight.data(), n, 1e-5f, actual.data());
    const double tolerance = (static_cast<double>(n / 16 + 5) / 2 + 6) * 0x1p-24;
    for (size_t i = 0; i < n; ++i) {
      const double wanted = double{x[i]} * r * double{weight[i]};
      EXPECT(std::fabs(double{actual[i]} - wanted) <= std::fabs(wanted) * tolerance);
    }
  }
}

KERNEL_TEST(quantize_is_the_reference_for_every_length) {
  Random random(23);
  for (size_t n = 1; n <= 200; ++n) {
    const std::vector<float> x = random.Normals(n);
    ExpectSame(Quantize(kernels, x), Quantize(Reference(), x), At({n}));
  }
}

KERNEL_TEST(quantize_rounds_halves_to_even_and_pads_with_zeros) {
  const Quantized q = Quantize(kernels, {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -127.0f});
  std::vector<int> wanted = {127, 0, 2, 2, 0, -2, -2, -127};
  wanted.resize(kColumnAlign, 0);
  EXPECT(q.values == wanted);
  EXPECT_EQ(q.scale, 1.0f);
  EXPECT_EQ(q.sum, 0);
}

KERNEL_TEST(quantize_of_nothing_but_tiny_numbers_does_not_blow_them_up) {
  const Quantized q = Quantize(kernels, {1e-7f, -1e-7f, 0.0f});
  EXPECT_EQ(q.values[0], 1);
  EXPECT_EQ(q.values[1], -1);
  EXPECT_EQ(q.scale, 1e-5f / 127.0f);
}

KERNEL_TEST(quantize_of_nan_and_infinity_is_the_same_on_every_set) {
  Random random(24);
  for (size_t n = 1; n <= 40; ++n) {
    for (const float odd : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> x = random.Normals(n);
      x[n / 2] = odd;
      ExpectSame(Quantize(kernels, x), Quantize(Reference(), x), At({n}));
    }
  }
}

KERNEL_TEST(relu2_mul_squares_what_is_positive) {
  std::vector<float> gate = {3.0f, -3.0f, 0.0f, -0.0f, 0.5f};
  const std::vector<float> up = {2.0f, 2.0f, 2.0f, 2.0f, -1.0f};
  kernels.relu2_mul(gate.data(), up.data(), gate.size());
  ExpectSameBits(gate, {18.0f, 0.0f, 0.0f, 0.0f, -0.25f}, "");
}

KERNEL_TEST(silu_mul_weighs_by_the_logistic_function) {
  std::vector<float> gate = {0.0f, 1.0f, -1.0f, 100.0f, -100.0f};
  const std::vector<float> up = {2.0f, 2.0f, 2.0f, 2.0f, 2.0f};
  const std::vector<double> wanted = {0.0, 1.4621171573, -0.5378828427, 200.0, 0.0};
  kernels.silu_mul(gate.data(), up.data(), gate.size());
  for (size_t i = 0; i < gate.size(); ++i) EXPECT(std::fabs(gate[i] - wanted[i]) < 1e-6);
}

KERNEL_TEST(elementwise_kernels_are_the_reference_for_every_length) {
  Random random(25);
  for (size_t n = 1; n <= 70; ++n) {
    const std::vector<float> y = random.Normals(n);
    std::vector<float> actual = random.Normals(n);
    std::vector<float> wanted = actual;
    kernels.relu2_mul(actual.data(), y.data(), n);
    Reference().relu2_mul(wanted.data(), y.data(), n);
    ExpectSameBits(actual, wanted, "relu2_mul, " + At({n}));

    kernels.silu_mul(actual.data(), y.data(), n);
    Reference().silu_mul(wanted.data(), y.data(), n);
    ExpectSameBits(actual, wanted, "silu_mul, " + At({n}));

    kernels.add(actual.data(), y.data(), n);
    Reference().add(wanted.data(), y.data(), n);
    ExpectSameBits(actual, wanted, "add, " + At({n}));
  }
}

KERNEL_TEST(rope_turns_each_pair_by_its_angle) {
  std::vector<float> x(16, 0.0f);
  x[0] = 2.0f;  // pair 0: (2, 1) by a quarter turn
  x[8] = 1.0f;
  x[7] = 3.0f;  // pair 7: (3, 5) not at all
  x[15] = 5.0f;
  std::vector<float> cos(8, 1.0f);
  std::vector<float> sin(8, 0.0f);
  cos[0] = 0.0f;
  sin[0] = 1.0f;
  kernels.rope(x.data(), cos.data(), sin.data(), 16);
  EXPECT_EQ(x[0], -1.0f);
  EXPECT_EQ(x[8], 2.0f);
  EXPECT_EQ(x[7], 3.0f);
  EXPECT_EQ(x[15], 5.0f);
}

KERNEL_TEST(rope_is_the_reference_for_every_head_dim) {
  Random random(26);
  for (size_t head_dim = 16; head_dim <= 256; head_dim += 16) {
    std::vector<float> actual = random.Normals(head_dim);
    std::vector<float> wanted = actual;
    const std::vector<float> cos = random.Normals(head_dim / 2);
    const std::vector<float> sin = random.Normals(head_dim / 2);
    kernels.rope(actual.data(), cos.data(), sin.data(), head_dim);
    Reference().rope(wanted.data(), cos.data(), sin.data(), head_dim);
    ExpectSameBits(actual, wanted, At({head_dim}));
  }
}

KERNEL_TEST(store_kv_writes_a_column_of_keys_and_a_row_of_values_and_nothing_else) {
  Random random(27);
  for (const size_t head_dim : {16u, 64u, 128u}) {
    for (size_t offset = 0; offset < kBlockSize; ++offset) {
      const std::vector<float> key = random.Normals(head_dim);
      const std::vector<float> value = random.Normals(head_dim);
      std::vector<uint16_t> keys(head_dim * kBlockSize, 7);
      std::vector<uint16_t> values = keys;
      std::vector<uint16_t> wanted_keys = keys;
      std::vector<uint16_t> wanted_values = keys;
      kernels.store_kv(key.data(), value.data(), head_dim, offset, keys.data(), values.data());
      Reference().store_kv(key.data(), value.data(), head_dim, offset, wanted_keys.data(),
                           wanted_values.data());
      EXPECT(keys == wanted_keys);
      EXPECT(values == wanted_values);
    }
  }
}

KERNEL_TEST(store_kv_rounds_to_the_nearest_bfloat16_of_equals_the_even_one) {
  std::vector<float> x(16, 0.0f);
  x[0] = std::bit_cast<float>(0x3f808000u);  // half-way, below is even
  x[1] = std::bit_cast<float>(0x3f818000u);  // half-way, above is even
  x[2] = std::bit_cast<float>(0x3f808001u);
  x[3] = std::bit_cast<float>(0x7f800001u);  // a NaN whose top bits alone would be infinity
  x[4] = std::numeric_limits<float>::max();
  x[5] = -INFINITY;
  std::vector<uint16_t> keys(16 * kBlockSize);
  std::vector<uint16_t> values(16 * kBlockSize);
  kernels.store_kv(x.data(), x.data(), 16, 2, keys.data(), values.data());
  const std::vector<uint16_t> wanted = {0x3f80, 0x3f82, 0x3f81, 0x7fc0, 0x7f80, 0xff80};
  for (size_t d = 0; d < wanted.size(); ++d) {
    EXPECT_EQ(keys[d * kBlockSize + 2], wanted[d]);
    EXPECT_EQ(values[2 * 16 + d], wanted[d]);
  }
}

}  // namespace tercet::test
