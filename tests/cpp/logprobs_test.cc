// Log-probabilities: of the logits as the model left them, whatever is drawn.
#include <cmath>
#include <numeric>
#include <vector>

#include "fixtures.h"
#include "sampling_rows.h"
#include "tercet/sampler.h"

namespace tercet::test {
namespace {

Samples Run(const Kernels& kernels, std::vector<float> logits, const std::vector<Options>& options,
            std::vector<std::uint32_t> masks = {}) {
  ThreadPool pool(2);
  const std::size_t vocab_size = logits.size() / options.size();
  const SamplingRows rows(options, std::move(masks));
  Samples samples(rows.batch());
  CheckSampling(rows.batch(), options.size(), vocab_size);
  std::vector<std::size_t> all(options.size());
  std::iota(all.begin(), all.end(), 0);
  Sample(kernels, pool, logits.data(), vocab_size, rows.batch(), all, samples);
  return samples;
}

double ExactLogprob(const std::vector<float>& logits, std::size_t token) {
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(static_cast<double>(logit));
  }
  return static_cast<double>(logits[token]) - std::log(sum);
}

}  // namespace

KERNEL_TEST(a_target_is_scored_and_not_drawn) {
  const std::vector<float> logits = Random(1).Normals(1000);
  const Samples samples =
      Run(kernels, logits, {{.bias_tokens = {77}, .biases = {-50}, .target = 77}});
  EXPECT_EQ(samples.tokens[0], 77);
  const double error = static_cast<double>(samples.token_logprobs[0]) - ExactLogprob(logits, 77);
  EXPECT(std::abs(error) < 1e-5);
  EXPECT_EQ(samples.num_top, 0U);
}

KERNEL_TEST(top_entries_fall_and_the_lower_id_of_equals_comes_first) {
  std::vector<float> logits(300, -2.0F);
  logits[250] = 3;
  logits[20] = logits[270] = 1;
  const Samples samples = Run(kernels, logits, {{.num_logprobs = 5}});
  EXPECT(samples.top_tokens == (std::vector<std::int32_t>{250, 20, 270, 0, 1}));
  EXPECT(samples.top_logprobs[1] == samples.top_logprobs[2]);
  EXPECT(samples.top_logprobs[0] - samples.top_logprobs[1] == 2);
}

KERNEL_TEST(the_chosen_token_has_the_same_float_wherever_it_is_named) {
  const std::vector<float> logits = Random(2).Normals(500);
  const Samples samples = Run(kernels, logits, {{.temperature = 0, .num_logprobs = 3}});
  EXPECT_EQ(samples.tokens[0], samples.top_tokens[0]);
  EXPECT(samples.token_logprobs[0] == samples.top_logprobs[0]);
}

KERNEL_TEST(what_changes_the_draw_does_not_change_log_probabilities) {
  const std::vector<float> logits = Random(3).Normals(64);
  const Samples plain = Run(kernels, logits, {{.target = 40, .num_logprobs = 64}});
  const Options changed{.temperature = 0.1F,
                        .repetition_penalty = 2,
                        .seen_tokens = {1, 40},
                        .presence_penalty = 1,
                        .count_tokens = {2},
                        .counts = {1},
                        .bias_tokens = {3, 40},
                        .biases = {5, -5},
                        .mask_row = 0,
                        .num_logprobs = 64};
  const Samples samples = Run(kernels, logits, {changed}, {0, 1U << 8});
  EXPECT_EQ(samples.tokens[0], 40);
  EXPECT(samples.token_logprobs == plain.token_logprobs);
  EXPECT(samples.top_tokens == plain.top_tokens);
  EXPECT(samples.top_logprobs == plain.top_logprobs);
}

KERNEL_TEST(rows_ask_for_as_many_entries_as_they_like) {
  std::vector<float> logits = Random(4).Normals(4 * 20);
  const Samples samples =
      Run(kernels, logits,
          {{.num_logprobs = 2}, {.num_logprobs = -1}, {.num_logprobs = 0}, {.num_logprobs = 30}});
  EXPECT_EQ(samples.num_top, 30U);
  const auto named = [&](std::size_t row) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < 30; ++i) {
      const bool is_token = samples.top_tokens[row * 30 + i] >= 0;
      EXPECT_EQ(std::isnan(samples.top_logprobs[row * 30 + i]), !is_token);
      count += is_token ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(named(0), 2U);
  EXPECT_EQ(named(1), 0U);
  EXPECT_EQ(named(2), 0U);
  EXPECT_EQ(named(3), 20U);  // there are no more
  EXPECT(std::isnan(samples.token_logprobs[1]));
  EXPECT(samples.token_logprobs[2] < 0);
}

KERNEL_TEST(every_kernel_set_gives_the_references_log_probabilities) {
  const std::vector<float> logits = Random(5).Normals(3 * 1009);
  const std::vector<Options> rows(3, {.num_logprobs = 128});
  const Samples wanted = Run(Reference(), logits, rows);
  const Samples samples = Run(kernels, logits, rows);
  ExpectSameBits(samples.token_logprobs, wanted.token_logprobs, "of the drawn tokens");
  ExpectSameBits(samples.top_logprobs, wanted.top_logprobs, "of the likeliest");
  EXPECT(samples.top_tokens == wanted.top_tokens);
}

}  // namespace tercet::test
