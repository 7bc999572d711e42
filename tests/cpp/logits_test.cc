// Choosing among logits: argmax, the sum behind a softmax, and drawing by Gumbel-max.
#include <cmath>

#include "fixtures.h"
#include "kernels/reference_math.h"

namespace tercet::test {
namespace {

size_t Draw(const Kernels& kernels, const std::vector<float>& x, float scale, float threshold,
            DrawKey key) {
  return kernels.gumbel_argmax(x.data(), x.size(), scale, threshold, &key);
}

}  // namespace

KERNEL_TEST(argmax_finds_the_largest_wherever_it_is) {
  for (size_t n = 1; n <= 70; ++n) {
    for (size_t at = 0; at < n; ++at) {
      std::vector<float> x(n, -1.0f);
      x[at] = 2.0f;
      EXPECT_EQ_AT(kernels.argmax(x.data(), n), at, At({n, at}));
    }
  }
}

KERNEL_TEST(argmax_takes_the_lowest_of_equals) {
  for (size_t n = 2; n <= 70; ++n) {
    for (size_t first = 0; first < n; ++first) {
      std::vector<float> x(n, 3.0f);
      for (size_t i = 0; i < first; ++i) x[i] = -3.0f;
      EXPECT_EQ_AT(kernels.argmax(x.data(), n), first, At({n, first}));
    }
  }
  const std::vector<float> zeros = {-0.0f, 0.0f};
  EXPECT_EQ(kernels.argmax(zeros.data(), 2), size_t{0});
}

KERNEL_TEST(nan_never_wins_over_a_number) {
  for (size_t n = 1; n <= 40; ++n) {
    std::vector<float> x(n, NAN);
    EXPECT_EQ_AT(kernels.argmax(x.data(), n), size_t{0}, At({n}));
    x[n / 2] = -INFINITY;
    EXPECT_EQ_AT(kernels.argmax(x.data(), n), n / 2, At({n}));
    x[n - 1] = 1.0f;
    EXPECT_EQ_AT(kernels.argmax(x.data(), n), n - 1, At({n}));
  }
}

KERNEL_TEST(sum_exp_is_the_reference_for_every_length) {
  Random random(40);
  for (size_t n = 1; n <= 130; ++n) {
    const std::vector<float> x = random.Normals(n);
    ExpectSameBits({kernels.sum_exp(x.data(), n, 2.5f, 1.7f)},
                   {Reference().sum_exp(x.data(), n, 2.5f, 1.7f)}, At({n}));
  }
}

KERNEL_TEST(sum_exp_of_one_number_is_exp) {
  for (float x = -90.0f; x <= 90.0f; x += 0.01f) {
    ExpectSameBits({kernels.sum_exp(&x, 1, 0.0f, 1.0f)}, {Exp(x)}, "");
  }
  for (const float x : {-INFINITY, -87.0f, -87.00001f, -0.0f, INFINITY, NAN}) {
    ExpectSameBits({kernels.sum_exp(&x, 1, 0.0f, 1.0f)}, {Exp(x)}, "");
  }
}

KERNEL_TEST(a_draw_is_the_reference_for_every_length_and_threshold) {
  Random random(41);
  for (size_t n = 1; n <= 200; ++n) {
    const std::vector<float> x = random.Normals(n);
    for (const float threshold : {-INFINITY, -0.5f, 1.0f, 9.0f}) {
      const DrawKey key{n * 0x123456789abcdefu, static_cast<uint32_t>(n), 77};
      EXPECT_EQ_AT(Draw(kernels, x, 1.3f, threshold, key),
                   Draw(Reference(), x, 1.3f, threshold, key), At({n}));
    }
  }
}

KERNEL_TEST(a_draw_is_the_largest_logit_perturbed_by_its_own_gumbel_number) {
  Random random(42);
  const std::vector<float> x = random.Normals(300);
  for (uint32_t position = 0; position < 200; ++position) {
    const DrawKey key{42, 3, position};
    size_t wanted = 0;
    for (size_t i = 1; i < x.size(); ++i) {
      if (x[i] * 0.8f + Gumbel(key, i) > x[wanted] * 0.8f + Gumbel(key, wanted)) wanted = i;
    }
    EXPECT_EQ(Draw(kernels, x, 0.8f, -INFINITY, key), wanted);
  }
}

// At 1e9 a float moves in steps of 64, so no Gumbel number changes a score.
KERNEL_TEST(a_draw_among_equal_scores_takes_the_lowest_index) {
  std::vector<float> x(100, 1e9f);
  for (size_t first = 0; first < 70; ++first) {
    EXPECT_EQ(Draw(kernels, x, 1.0f, -INFINITY, {first, 0, 0}), first);
    x[first] = 0.0f;
  }
}

KERNEL_TEST(a_draw_does_not_depend_on_what_the_threshold_excludes) {
  Random random(43);
  std::vector<float> x(500, -5.0f);
  for (const size_t candidate : {3u, 77u, 310u, 499u}) x[candidate] = random.Normal();
  std::vector<float> others = x;
  for (float& value : others) value = value == -5.0f ? NAN : value;
  for (uint32_t position = 0; position < 50; ++position) {
    const DrawKey key{7, 0, position};
    EXPECT_EQ(Draw(kernels, x, 1.0f, -4.9f, key), Draw(kernels, others, 1.0f, -4.9f, key));
  }
}

KERNEL_TEST(a_draw_without_candidates_is_the_argmax) {
  const std::vector<float> x = {1.0f, 4.0f, 2.0f};
  EXPECT_EQ(Draw(kernels, x, 1.0f, 5.0f, {1, 2, 3}), size_t{1});
}

KERNEL_TEST(a_logit_of_minus_infinity_is_never_drawn) {
  std::vector<float> x(20, -INFINITY);
  x[13] = -1000.0f;
  for (uint32_t position = 0; position < 100; ++position) {
    EXPECT_EQ(Draw(kernels, x, 1.0f, -INFINITY, {1, 0, position}), size_t{13});
  }
}

KERNEL_TEST(every_part_of_the_key_changes_the_draws) {
  const std::vector<float> x(1000, 0.0f);
  const DrawKey base{5, 6, 7};
  const size_t drawn = Draw(kernels, x, 1.0f, -1.0f, base);
  EXPECT(Draw(kernels, x, 1.0f, -1.0f, {6, 6, 7}) != drawn);
  EXPECT(Draw(kernels, x, 1.0f, -1.0f, {5 + (uint64_t{1} << 40), 6, 7}) != drawn);
  EXPECT(Draw(kernels, x, 1.0f, -1.0f, {5, 7, 7}) != drawn);
  EXPECT(Draw(kernels, x, 1.0f, -1.0f, {5, 6, 8}) != drawn);
}

// 20,000 draws among 20 tokens whose probabilities are 1 : 2 : ... : 20. Chi-square with 19 degrees
// of freedom exceeds 43.8 once in a thousand; the keys are fixed, so this does not vary.
KERNEL_TEST(draws_follow_the_softmax) {
  constexpr size_t kTokens = 20;
  constexpr uint32_t kDraws = 20000;
  std::vector<float> x(kTokens);
  double total = 0.0;
  for (size_t i = 0; i < kTokens; ++i) {
    x[i] = 2.0f * std::log(static_cast<float>(i + 1));
    total += static_cast<double>(i + 1);
  }
  std::vector<double> counts(kTokens, 0.0);
  for (uint32_t position = 0; position < kDraws; ++position) {
    counts[Draw(kernels, x, 0.5f, -INFINITY, {99, 0, position})] += 1.0;
  }
  double chi_square = 0.0;
  for (size_t i = 0; i < kTokens; ++i) {
    const double expected = kDraws * static_cast<double>(i + 1) / total;
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT(chi_square < 43.8);
}

}  // namespace tercet::test
