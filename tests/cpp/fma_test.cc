// Fused multiply-add, which some sets put together from other instructions, against the C
// library's.
//
// A set's own is reached through `rope`: with a sine of -1 it gives fma(x, cos, y) and
// fma(y, cos, -x) for each pair (x, y).
#include <cmath>
#include <limits>

#include "fixtures.h"

namespace tercet::test {
namespace {

struct Triple {
  float a;
  float b;
  float c;
};

using MakeTriple = Triple (*)(Random&);

constexpr size_t kPairs = 128;
constexpr size_t kRounds = 1500;

void ExpectFused(const Kernels& kernels, size_t salt, MakeTriple make) {
  Random random(salt);
  for (size_t round = 0; round < kRounds; ++round) {
    std::vector<float> x(2 * kPairs);
    std::vector<float> cos(kPairs);
    const std::vector<float> sin(kPairs, -1.0f);
    std::vector<float> wanted(2 * kPairs);
    for (size_t j = 0; j < kPairs; ++j) {
      const Triple t = make(random);
      x[j] = t.a;
      cos[j] = t.b;
      x[j + kPairs] = t.c;
      wanted[j] = std::fmaf(t.a, t.b, t.c);
      wanted[j + kPairs] = std::fmaf(t.c, t.b, -t.a);
    }
    kernels.rope(x.data(), cos.data(), sin.data(), 2 * kPairs);
    ExpectSameBits(x, wanted, At({round}));
  }
}

uint32_t AnyBits(Random& random) {
  return static_cast<uint32_t>(random.Integer(0, 0xffff)) << 16 |
         static_cast<uint32_t>(random.Integer(0, 0xffff));
}

float AnyFloat(Random& random) { return std::bit_cast<float>(AnyBits(random)); }

// A number of the given exponent, or among the smallest, and of either sign.
float AnyOf(Random& random, int exponent) {
  const float magnitude = 1.0f + static_cast<float>(random.Integer(0, (1 << 23) - 1)) * 0x1p-23f;
  return std::ldexp(random.Integer(0, 1) == 0 ? magnitude : -magnitude, exponent);
}

// One, or one of the numbers next to it.
float AboutOne(Random& random) {
  constexpr float kOnes[] = {1.0f, 1.0f + 0x1p-23f, 1.0f - 0x1p-24f, 1.0f - 0x1p-23f};
  return kOnes[random.Integer(0, 3)];
}

// A product of half the addend's last bit, a hair more or less: 2^-46 of it is seen by neither a
// float nor a double. `exponent` is the addend's.
Triple AboutHalfway(Random& random, int exponent) {
  const int half = std::max(exponent, -126) - 24;
  const int share = random.Integer(std::max(half - 60, -120), std::min(half + 60, 120));
  const float sign = random.Integer(0, 1) == 0 ? 1.0f : -1.0f;
  return {std::ldexp(sign * AboutOne(random), share), std::ldexp(AboutOne(random), half - share),
          AnyOf(random, exponent)};
}

}  // namespace

KERNEL_TEST(multiplying_and_adding_rounds_once_for_numbers_of_all_sizes) {
  ExpectFused(kernels, 90, [](Random& random) {
    return Triple{AnyFloat(random), AnyFloat(random), AnyFloat(random)};
  });
}

KERNEL_TEST(multiplying_and_adding_rounds_once_for_numbers_of_like_sizes) {
  ExpectFused(kernels, 91, [](Random& random) {
    return Triple{AnyOf(random, random.Integer(-2, 2)), AnyOf(random, random.Integer(-2, 2)),
                  AnyOf(random, random.Integer(-30, 30))};
  });
}

KERNEL_TEST(multiplying_and_adding_rounds_once_about_halfway) {
  ExpectFused(kernels, 92,
              [](Random& random) { return AboutHalfway(random, random.Integer(-70, 70)); });
}

KERNEL_TEST(multiplying_and_adding_rounds_once_among_the_smallest) {
  ExpectFused(kernels, 93,
              [](Random& random) { return AboutHalfway(random, random.Integer(-150, -120)); });
  ExpectFused(kernels, 94, [](Random& random) {
    const int share = random.Integer(-80, -60);
    const int sum = random.Integer(-152, -125);
    return Triple{AnyOf(random, share), AnyOf(random, sum - share),
                  AnyOf(random, random.Integer(-150, -122))};
  });
}

KERNEL_TEST(multiplying_and_adding_rounds_once_next_to_overflow) {
  ExpectFused(kernels, 95, [](Random& random) {
    Triple triple = AboutHalfway(random, 127);
    if (random.Integer(0, 1) == 0) {
      triple.c = std::copysign(std::numeric_limits<float>::max(), triple.c);
    }
    return triple;
  });
}

KERNEL_TEST(multiplying_and_adding_rounds_once_where_nearly_all_cancels) {
  ExpectFused(kernels, 96, [](Random& random) {
    const float a = AnyOf(random, random.Integer(-75, 60));
    const float b = AnyOf(random, random.Integer(-75, 60));
    const int step = random.Integer(-1, 1);
    const float product = a * b;
    const uint32_t next = std::bit_cast<uint32_t>(product) + static_cast<uint32_t>(step);
    return Triple{a, b, -std::bit_cast<float>(next)};
  });
}

KERNEL_TEST(multiplying_and_adding_keeps_zeros_infinities_and_nan) {
  static constexpr float kCorners[] = {0.0f,  -0.0f,  1.0f,     -1.0f,     0x1p-149f, -0x1p-149f,
                                       3e38f, -3e38f, INFINITY, -INFINITY, NAN};
  ExpectFused(kernels, 97, [](Random& random) {
    const auto any = [&] { return kCorners[random.Integer(0, 10)]; };
    return Triple{any(), any(), any()};
  });
}

}  // namespace tercet::test
