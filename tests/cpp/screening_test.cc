// A screened draw is the full pass's draw: on heads that are random, peaked, ragged or flat.
#include "screening.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "fixtures.h"
#include "sampling_rows.h"

namespace tercet::test {
namespace {

// A head over random rows, some longer than others, and hidden states that some rows agree with.
struct RandomHead {
  std::size_t vocab, size;
  std::vector<std::uint16_t> table;
  std::vector<float> hidden;
  ThreadPool pool{2};
  Head head;

  RandomHead(const Kernels& kernels, Random& random, std::size_t vocab_size,
             std::size_t hidden_size, std::size_t num_rows)
      : vocab(vocab_size), size(hidden_size), head(HeadKind::kInt8, vocab_size, hidden_size, {}) {
    std::vector<float> rows = random.Normals(vocab * size);
    hidden = random.Normals(num_rows * size);
    for (std::size_t n = 0; n < vocab; ++n) {
      const float length = n % 3 == 0 ? 0.3f : 1.0f;
      for (std::size_t k = 0; k < size; ++k) rows[n * size + k] *= length;
    }
    for (std::size_t m = 0; m < num_rows; ++m) {
      const auto n = static_cast<std::size_t>(random.Integer(0, static_cast<int>(vocab) - 1));
      for (std::size_t k = 0; k < size; ++k) {
        rows[n * size + k] += 0.3f * hidden[m * size + k];
        hidden[m * size + k] *= 2.5f / std::sqrt(static_cast<float>(size));
      }
    }
    for (const float value : rows) {
      table.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
    }
    head.Pack(kernels, pool, Table());
  }

  TensorSource Table() const {
    return {.layout = Layout::kBf16,
            .data = reinterpret_cast<const std::uint8_t*>(table.data()),
            .num_bytes = 2 * table.size(),
            .rows = vocab,
            .cols = size};
  }
};

struct Drawn {
  Samples samples;
  HeadStats stats;
  std::vector<std::size_t> left;
};

std::vector<std::size_t> All(std::size_t count) {
  std::vector<std::size_t> all(count);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Drawn Screened(const Kernels& kernels, RandomHead& random, const SamplingBatch& batch) {
  const std::vector<std::size_t> all = All(batch.num_rows());
  std::vector<std::int32_t> sums(all.size() * random.vocab);
  Drawn drawn{Samples(batch), {}, {}};
  Screening screening(random.vocab, random.pool.num_threads());
  random.head.Screen(kernels, random.pool, random.hidden.data(), all, sums.data());
  screening.Draw(kernels, random.pool, random.head, batch, all, sums.data(), drawn.samples,
                 drawn.left);
  drawn.stats = screening.stats();
  return drawn;
}

std::vector<std::int32_t> Full(const Kernels& kernels, RandomHead& random,
                               const SamplingBatch& batch) {
  const std::vector<std::size_t> all = All(batch.num_rows());
  std::vector<float> logits(all.size() * random.vocab);
  Samples samples(batch);
  random.head.Multiply(kernels, random.pool, random.hidden.data(), all, logits.data());
  Sample(kernels, random.pool, logits.data(), random.vocab, batch, all, samples);
  return samples.tokens;
}

std::vector<Options> ManyOptions(Random& random, std::size_t count, int vocab) {
  std::vector<Options> rows(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<float> temperatures{0, 0.3f, 0.7f, 1, 1.5f};
    rows[i] = {.temperature = temperatures[i % 5], .seed = i, .choice = 1, .position = 9};
    if (i % 2 == 0) continue;
    rows[i].repetition_penalty = 1.3f;
    rows[i].presence_penalty = 0.5f;
    rows[i].frequency_penalty = 0.25f;
    for (int t = 0; t < 20; ++t) {
      rows[i].seen_tokens.push_back(random.Integer(0, vocab - 1));
      rows[i].count_tokens.push_back(random.Integer(0, vocab - 1));
      rows[i].counts.push_back(random.Integer(1, 3));
      rows[i].bias_tokens.push_back(random.Integer(0, vocab - 1));
      rows[i].biases.push_back(t == 0 ? -1e30f : random.Normal() * 4);
    }
  }
  return rows;
}

}  // namespace

KERNEL_TEST(a_screened_draw_is_the_full_passes_draw) {
  Random random(50);
  for (const std::size_t vocab : {40U, 700U, 8192U + 77U}) {
    RandomHead head(kernels, random, vocab, 264, 32);
    const SamplingRows rows(ManyOptions(random, 32, static_cast<int>(vocab)));
    const std::vector<std::int32_t> wanted = Full(kernels, head, rows.batch());
    const Drawn drawn = Screened(kernels, head, rows.batch());
    for (std::size_t i = 0; i < 32; ++i) {
      if (std::find(drawn.left.begin(), drawn.left.end(), i) == drawn.left.end()) {
        EXPECT_EQ_AT(drawn.samples.tokens[i], wanted[i], At({vocab, i}));
      }
    }
    EXPECT_EQ(drawn.stats.screened + drawn.stats.undecided, 32U);
  }
}

KERNEL_TEST(which_rows_are_finished_does_not_depend_on_the_kernel_set) {
  Random random(51);
  RandomHead head(kernels, random, 9000, 264, 10);
  const SamplingRows rows(ManyOptions(random, 10, 9000));
  RandomHead same(Reference(), random, 9000, 264, 10);
  same.table = head.table;
  same.hidden = head.hidden;
  same.head.Pack(Reference(), same.pool, same.Table());
  const Drawn drawn = Screened(kernels, head, rows.batch());
  const Drawn wanted = Screened(Reference(), same, rows.batch());
  EXPECT(drawn.samples.tokens == wanted.samples.tokens);
  EXPECT(drawn.left == wanted.left);
  EXPECT_EQ(drawn.stats.finished, wanted.stats.finished);
}

KERNEL_TEST(few_rows_of_a_large_vocabulary_are_finished) {
  Random random(52);
  RandomHead head(kernels, random, 20000, 512, 8);
  const SamplingRows rows(std::vector<Options>(8, {.temperature = 0}));
  const Drawn drawn = Screened(kernels, head, rows.batch());
  EXPECT_EQ(drawn.stats.screened, 8U);
  EXPECT(drawn.stats.finished >= 8 && drawn.stats.finished < 8 * 100);
}

// A bias, a penalty and a forbidden token reach the tokens they are meant for.
KERNEL_TEST(a_biased_token_wins_and_a_forbidden_one_does_not) {
  Random random(53);
  RandomHead head(kernels, random, 5000, 264, 1);
  const SamplingRows plain(std::vector<Options>{{.temperature = 0}});
  const std::int32_t first = Screened(kernels, head, plain.batch()).samples.tokens[0];
  const SamplingRows forbidden({{.temperature = 0, .bias_tokens = {first}, .biases = {-1e30f}}});
  const Drawn without = Screened(kernels, head, forbidden.batch());
  EXPECT(without.samples.tokens[0] != first);
  EXPECT(without.samples.tokens == Full(kernels, head, forbidden.batch()));
  const SamplingRows forced({{.temperature = 1, .bias_tokens = {1234}, .biases = {100}}});
  EXPECT_EQ(Screened(kernels, head, forced.batch()).samples.tokens[0], 1234);
}

// Masks of every density, one token alone among them, and penalties on what they forbid.
KERNEL_TEST(a_masked_row_draws_what_the_full_pass_draws) {
  Random random(56);
  constexpr std::size_t kVocab = 9000;
  constexpr std::size_t kWords = (kVocab + 31) / 32;
  std::vector<Options> options = ManyOptions(random, 10, kVocab);
  std::vector<std::uint32_t> masks(10 * kWords, 0);
  for (std::size_t row = 0; row < 10; ++row) {
    options[row].mask_row = static_cast<std::int32_t>(row);
    const int share = row == 0 ? 0 : 1 << row;  // of 1024
    for (std::size_t token = 0; token < kVocab; ++token) {
      const bool allowed = token == 4321 || random.Integer(0, 1023) < share;
      masks[row * kWords + token / 32] |= static_cast<std::uint32_t>(allowed) << (token % 32);
    }
  }
  RandomHead head(kernels, random, kVocab, 264, 10);
  const SamplingRows rows(options, masks);
  const Drawn drawn = Screened(kernels, head, rows.batch());
  const std::vector<std::int32_t> full = Full(kernels, head, rows.batch());
  std::size_t num_screened = 0;
  for (std::size_t row = 0; row < 10; ++row) {
    if (std::ranges::count(drawn.left, row) == 0) {
      EXPECT_EQ(drawn.samples.tokens[row], full[row]);
      ++num_screened;
    }
  }
  EXPECT_EQ(full[0], 4321);
  EXPECT(num_screened >= 5);
}

KERNEL_TEST(equal_rows_of_the_head_tie_for_the_lower_token) {
  Random random(54);
  RandomHead head(kernels, random, 600, 264, 1);
  const SamplingRows plain(std::vector<Options>{{.temperature = 0}});
  const auto best = static_cast<std::size_t>(Full(kernels, head, plain.batch())[0]);
  for (const std::size_t other : {std::size_t{3}, std::size_t{590}}) {
    std::copy_n(&head.table[best * 264], 264, &head.table[other * 264]);
  }
  head.head = Head(HeadKind::kInt8, 600, 264, {});
  head.head.Pack(kernels, head.pool, head.Table());
  EXPECT_EQ(Screened(kernels, head, plain.batch()).samples.tokens[0], 3);
}

KERNEL_TEST(hidden_states_that_are_no_numbers_are_left_to_the_full_pass) {
  Random random(55);
  RandomHead head(kernels, random, 300, 264, 1);
  head.hidden[5] = std::numeric_limits<float>::quiet_NaN();
  const SamplingRows plain(std::vector<Options>{{.temperature = 0}});
  EXPECT(Screened(kernels, head, plain.batch()).left == (std::vector<std::size_t>{0}));
}

KERNEL_TEST(a_row_that_asks_for_more_than_a_token_is_not_screened) {
  const auto can = [](const Options& options) {
    return Screening::CanDraw(SamplingRows({options}, {1}).batch(), 0, 30);
  };
  EXPECT(can({}));
  EXPECT(can({.temperature = 0, .top_k = 3, .top_p = 0.5f, .min_p = 0.1f}));
  EXPECT(can({.top_k = 30}));
  EXPECT(!can({.top_k = 3}));
  EXPECT(!can({.top_p = 0.5f}));
  EXPECT(!can({.min_p = 0.1f}));
  EXPECT(can({.temperature = 0, .mask_row = 0}));
  EXPECT(!can({.temperature = 0, .target = 2}));
  EXPECT(!can({.temperature = 0, .num_logprobs = 0}));
}

}  // namespace tercet::test
