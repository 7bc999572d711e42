// Exp, Log and Philox, the functions every set repeats operation by operation, against the truth.
#include <cmath>

#include "fixtures.h"
#include "kernels/reference_math.h"

namespace tercet::test {

TEST(exp_errs_by_less_than_2e_minus_7) {
  double worst = 0.0;
  for (float x = -87.0f; x <= 88.0f; x += 0.0007f) {
    const double wanted = std::exp(static_cast<double>(x));
    worst = std::fmax(worst, std::fabs(static_cast<double>(Exp(x)) / wanted - 1.0));
  }
  EXPECT(worst < 2e-7);
}

TEST(exp_keeps_its_corners) {
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-0.0f), 1.0f);
  EXPECT_EQ(Exp(-87.5f), 0.0f);
  EXPECT_EQ(Exp(-INFINITY), 0.0f);
  EXPECT_EQ(Exp(INFINITY), Exp(88.0f));
  EXPECT(std::isnan(Exp(NAN)));
}

TEST(exp_never_falls_as_its_argument_rises_by_more_than_rounding) {
  float before = Exp(-1.0f);
  for (float x = -1.0f; x < 0.0f; x += 1e-5f) {
    EXPECT(Exp(x) >= before * (1.0f - 1e-7f));
    before = Exp(x);
  }
}

TEST(log_errs_by_less_than_2e_minus_7_relative_even_next_to_one) {
  double worst = 0.0;
  const auto consider = [&worst](float x) {
    const double wanted = std::log(static_cast<double>(x));
    if (wanted == 0.0) return;
    worst = std::fmax(worst, std::fabs(static_cast<double>(Log(x)) / wanted - 1.0));
  };
  for (uint32_t r = 0; r < (1u << 23); r += 37) consider((static_cast<float>(r) + 0.5f) * 0x1p-23f);
  for (uint32_t r = 0; r < 4096; ++r) consider(1.0f - (static_cast<float>(r) + 0.5f) * 0x1p-23f);
  for (float x = 1e-8f; x < 20.0f; x *= 1.0003f) consider(x);
  EXPECT(worst < 2e-7);
  EXPECT_EQ(Log(1.0f), 0.0f);
}

// Known answers of the authors' Random123 library.
TEST(philox_gives_the_known_answers) {
  const auto expect = [](Philox counter, uint32_t key0, uint32_t key1, Philox wanted) {
    const Philox actual = PhiloxOf(counter, key0, key1);
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(actual.words[i], wanted.words[i]);
  };
  expect({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  expect({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffff, 0xffffffff,
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  expect({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0,
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST(gumbel_numbers_have_the_mean_and_the_variance_of_their_distribution) {
  constexpr size_t kDraws = 200000;
  double sum = 0.0;
  double squares = 0.0;
  for (size_t i = 0; i < kDraws; ++i) {
    const double g = Gumbel({1234, 0, 0}, i);
    sum += g;
    squares += g * g;
  }
  const double mean = sum / kDraws;
  const double variance = squares / kDraws - mean * mean;
  // Four standard errors: of the mean 1.283 / sqrt(n), of the variance sqrt(4.4) * 1.645 / sqrt(n).
  EXPECT(std::fabs(mean - 0.57722) < 4 * 1.283 / std::sqrt(kDraws));
  EXPECT(std::fabs(variance - 1.64493) < 4 * 3.46 / std::sqrt(kDraws));
}

}  // namespace tercet::test
