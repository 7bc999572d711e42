// The whole forward pass on a small random model: one answer, whatever surrounds it, and every
// wrong batch refused before it is an index.
#include "tercet/model.h"

#include <numeric>
#include <stdexcept>
#include <vector>

#include "fixtures.h"
#include "sampling_rows.h"
#include "small_model.h"
#include "tercet/model_builder.h"
#include "test.h"

namespace tercet::test {
namespace {

using Ints = std::vector<std::int32_t>;

struct Arrays {
  Ints tokens;
  Ints starts;
  Ints positions;
  Ints tables;
  std::size_t max_blocks;
  Ints outputs;

  Batch batch() const { return {tokens, starts, positions, tables, max_blocks, outputs}; }
};

Ints Prompt(std::size_t length, int salt) {
  Ints tokens(length);
  for (std::size_t i = 0; i < length; ++i) {
    tokens[i] = static_cast<std::int32_t>((i * 37 + static_cast<std::size_t>(salt) * 11) % 131);
  }
  return tokens;
}

std::vector<float> AllLogits(Model& model) {
  std::vector<float> logits(model.num_outputs() * 131);
  model.Logits(logits.data());
  return logits;
}

std::vector<float> LastLogits(Model& model, std::size_t row = 0) {
  const std::vector<float> all = AllLogits(model);
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(row * 131);
  return {begin, begin + 131};
}

// Logits after a prompt of 40 tokens, computed `step` tokens at a time in blocks 5, 1, 3.
std::vector<float> InSteps(Model& model, std::size_t step, KvKind kind = KvKind::kBf16) {
  KVCache cache(kConfig, kind, 6, false);
  const Ints prompt = Prompt(40, 0);
  for (std::size_t begin = 0; begin < prompt.size(); begin += step) {
    const std::size_t count = std::min(step, prompt.size() - begin);
    const auto first = prompt.begin() + static_cast<std::ptrdiff_t>(begin);
    const Arrays arrays{.tokens = {first, first + static_cast<std::ptrdiff_t>(count)},
                        .starts = {0, static_cast<std::int32_t>(count)},
                        .positions = {static_cast<std::int32_t>(begin)},
                        .tables = {5, 1, 3},
                        .max_blocks = 3,
                        .outputs = {static_cast<std::int32_t>(count) - 1}};
    model.Forward(arrays.batch(), cache);
  }
  return LastLogits(model);
}

}  // namespace

KERNEL_TEST(ChunksOfAPromptDoNotChangeItsLogits) {
  const SmallModel small(kernels, 1);
  const std::vector<float> whole = InSteps(*small.model, 40);
  for (const std::size_t step : {1U, 3U, 16U, 17U, 39U}) {
    EXPECT_EQ_AT(InSteps(*small.model, step) == whole, true, "chunks of " + std::to_string(step));
  }
}

KERNEL_TEST(FloatKeysAndValuesGiveTheReferencesLogitsToo) {
  const SmallModel wanted(SelectKernels("reference"), 1);
  const SmallModel small(kernels, 2);
  const std::vector<float> logits = InSteps(*small.model, 17, KvKind::kFloat32);
  EXPECT(logits == InSteps(*wanted.model, 40, KvKind::kFloat32));
  EXPECT(logits != InSteps(*small.model, 17, KvKind::kBf16));
}

KERNEL_TEST(Int8KeysAndValuesGiveTheReferencesLogitsToo) {
  const SmallModel wanted(SelectKernels("reference"), 1);
  const SmallModel small(kernels, 2);
  const std::vector<float> logits = InSteps(*small.model, 17, KvKind::kInt8);
  EXPECT(logits == InSteps(*wanted.model, 40, KvKind::kInt8));
  EXPECT(logits == InSteps(*small.model, 1, KvKind::kInt8));
  EXPECT(logits != InSteps(*small.model, 17, KvKind::kBf16));
}

// A prompt of 400 tokens, the last `tail` of them together and the rest in chunks of 50. With long
// contexts few positions are cut over the threads.
std::vector<float> AfterLongPrompt(Model& model, KvKind kind, std::size_t tail) {
  KVCache cache(kConfig, kind, 30, false);
  const Ints prompt = Prompt(400, 1);
  Ints table(25);
  for (std::int32_t b = 0; b < 25; ++b) table[static_cast<std::size_t>(b)] = (b * 7 + 3) % 30;
  for (std::size_t begin = 0; begin < prompt.size();) {
    const std::size_t head = prompt.size() - tail;
    const std::size_t count = begin < head ? std::min<std::size_t>(50, head - begin) : tail;
    const auto first = prompt.begin() + static_cast<std::ptrdiff_t>(begin);
    const Arrays arrays{.tokens = {first, first + static_cast<std::ptrdiff_t>(count)},
                        .starts = {0, static_cast<std::int32_t>(count)},
                        .positions = {static_cast<std::int32_t>(begin)},
                        .tables = table,
                        .max_blocks = 25,
                        .outputs = {static_cast<std::int32_t>(count) - 1}};
    model.Forward(arrays.batch(), cache);
    begin += count;
  }
  return LastLogits(model);
}

KERNEL_TEST(ThreadsThatShareALongContextDoNotChangeLogits) {
  const SmallModel one(kernels, 1);
  for (const KvKind kind : {KvKind::kBf16, KvKind::kFloat32, KvKind::kInt8}) {
    const std::vector<float> wanted = AfterLongPrompt(*one.model, kind, 50);
    for (const std::size_t threads : {2U, 3U, 5U}) {
      const SmallModel many(kernels, threads);
      for (const std::size_t tail : {1U, 5U, 8U, 13U}) {
        EXPECT_EQ_AT(AfterLongPrompt(*many.model, kind, tail) == wanted, true, At({threads, tail}));
      }
    }
  }
}

KERNEL_TEST(ThreadsDoNotChangeLogits) {
  const SmallModel one(kernels, 1);
  const SmallModel three(kernels, 3);
  EXPECT(InSteps(*one.model, 40) == InSteps(*three.model, 40));
}

KERNEL_TEST(EveryKernelSetGivesTheReferencesLogits) {
  for (const char* head : {"int8", "bf16"}) {
    const SmallModel wanted(SelectKernels("reference"), 1, head);
    const SmallModel small(kernels, 1, head);
    EXPECT_EQ_AT(InSteps(*small.model, 40) == InSteps(*wanted.model, 40), true, head);
  }
}

KERNEL_TEST(NeighboursInTheBatchDoNotChangeLogits) {
  const SmallModel small(kernels, 2);
  Model& model = *small.model;
  const std::vector<float> alone = InSteps(model, 40);

  KVCache cache(kConfig, KvKind::kBf16, 8, true);
  const Ints first = Prompt(7, 3);
  const Ints middle = Prompt(40, 0);
  const Ints last = Prompt(17, 9);
  Arrays arrays{.tokens = first,
                .starts = {0, 7, 47, 64},
                .positions = {0, 0, 0},
                .tables = {4, 0, 0, 7, 2, 6, 1, 3, 0},
                .max_blocks = 3,
                .outputs = {6, 46, 63}};
  arrays.tokens.insert(arrays.tokens.end(), middle.begin(), middle.end());
  arrays.tokens.insert(arrays.tokens.end(), last.begin(), last.end());
  model.Forward(arrays.batch(), cache);
  EXPECT(LastLogits(model, 1) == alone);
}

// What scoring a prompt and verifying guessed tokens rest on.
KERNEL_TEST(every_token_may_be_an_output_and_has_the_logits_it_has_alone) {
  const SmallModel small(kernels, 2);
  Model& model = *small.model;
  KVCache cache(kConfig, KvKind::kBf16, 2, false);
  const Ints prompt = Prompt(19, 4);
  Arrays arrays{.tokens = prompt,
                .starts = {0, 19},
                .positions = {0},
                .tables = {1, 0},
                .max_blocks = 2,
                .outputs = {0, 7, 17, 18}};
  model.Forward(arrays.batch(), cache);
  const std::vector<float> together = AllLogits(model);

  for (std::size_t i = 0; i < arrays.outputs.size(); ++i) {
    const auto count = arrays.outputs[i] + 1;
    Arrays alone = arrays;
    alone.tokens.resize(static_cast<std::size_t>(count));
    alone.starts = {0, count};
    alone.outputs = {count - 1};
    model.Forward(alone.batch(), cache);
    const auto row = together.begin() + static_cast<std::ptrdiff_t>(i * 131);
    EXPECT(LastLogits(model) == std::vector<float>(row, row + 131));
  }
}

// Sixty outputs take two slices of logits.
KERNEL_TEST(sampling_in_slices_gives_each_output_what_it_has_alone) {
  const SmallModel small(kernels, 2);
  Model& model = *small.model;
  KVCache cache(kConfig, KvKind::kBf16, 4, false);
  Arrays arrays{.tokens = Prompt(60, 4),
                .starts = {0, 60},
                .positions = {0},
                .tables = {1, 0, 3, 2},
                .max_blocks = 4,
                .outputs = Ints(60)};
  std::iota(arrays.outputs.begin(), arrays.outputs.end(), 0);
  std::vector<Options> options(60);
  for (std::size_t i = 0; i < 60; ++i) {
    options[i] = {.temperature = i % 3 == 0 ? 0.0F : 1.0F,
                  .top_p = i % 5 == 0 ? 0.9F : 1.0F,
                  .seed = i,
                  .target = i % 7 == 0 ? 5 : -1,
                  .num_logprobs = i % 4 == 0 ? 3 : -1};
  }
  model.Forward(arrays.batch(), cache);
  const SamplingRows rows(options);
  const Samples together = model.Sample(rows.batch());
  EXPECT(model.Sample(rows.batch()).tokens == together.tokens);
  std::vector<float> hidden(60 * 96);
  model.Hidden(arrays.outputs, hidden.data());

  for (const std::size_t i : {0U, 7U, 12U, 31U, 32U, 33U, 59U}) {
    const auto output = static_cast<std::int32_t>(i);
    arrays.outputs = {output};
    model.Forward(arrays.batch(), cache);
    const SamplingRows row({options[i]});
    const Samples alone = model.Sample(row.batch());
    const std::string where = "output " + std::to_string(i);
    EXPECT_EQ_AT(alone.tokens[0], together.tokens[i], where);
    ExpectSameBits({alone.token_logprobs[0]}, {together.token_logprobs[i]}, where);
    if (alone.num_top == 3) {
      const auto top = together.top_logprobs.begin() + static_cast<std::ptrdiff_t>(i * 3);
      ExpectSameBits(alone.top_logprobs, {top, top + 3}, where);
    }
    const auto state = hidden.begin() + static_cast<std::ptrdiff_t>(i * 96);
    std::vector<float> state_alone(96);
    model.Hidden(arrays.outputs, state_alone.data());
    EXPECT(std::vector<float>(state, state + 96) == state_alone);
  }
}

// The feed-forward network takes them in slices.
KERNEL_TEST(two_hundred_tokens_at_once_have_the_logits_they_have_alone) {
  const SmallModel small(kernels, 2);
  Model& model = *small.model;
  KVCache cache(kConfig, KvKind::kBf16, 14, false);
  const Ints first = Prompt(110, 1);
  const Ints second = Prompt(100, 2);
  Ints both = first;
  both.insert(both.end(), second.begin(), second.end());
  const Arrays together{.tokens = both,
                        .starts = {0, 110, 210},
                        .positions = {0, 0},
                        .tables = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
                        .max_blocks = 7,
                        .outputs = {127, 128, 209}};
  model.Forward(together.batch(), cache);
  std::vector<float> wanted(3 * 131);
  model.Logits(wanted.data());

  const Arrays alone{.tokens = second,
                     .starts = {0, 100},
                     .positions = {0},
                     .tables = {13, 0, 12, 1, 11, 2, 10},
                     .max_blocks = 7,
                     .outputs = {17, 18, 99}};
  model.Forward(alone.batch(), cache);
  std::vector<float> logits(3 * 131);
  model.Logits(logits.data());
  ExpectSameBits(logits, wanted, "in company");
}

TEST(WrongBatchesAreRefused) {
  const SmallModel small(SelectKernels("reference"), 1);
  const Arrays good{.tokens = {1, 2},
                    .starts = {0, 2},
                    .positions = {0},
                    .tables = {0},
                    .max_blocks = 1,
                    .outputs = {0}};
  KVCache cache(kConfig, KvKind::kBf16, 2, false);
  const auto refused = [&](auto damage) {
    Arrays arrays = good;
    damage(arrays);
    try {
      small.model->Forward(arrays.batch(), cache);
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  EXPECT(!refused([](Arrays&) {}));
  EXPECT(refused([](Arrays& a) { a.tokens[1] = 131; }));
  EXPECT(refused([](Arrays& a) { a.tokens[0] = -1; }));
  EXPECT(refused([](Arrays& a) { a.starts = {0, 1}; }));
  EXPECT(refused([](Arrays& a) { a.starts = {0, 0, 2}; }));
  EXPECT(refused([](Arrays& a) { a.positions[0] = 511; }));
  EXPECT(refused([](Arrays& a) { a.positions[0] = 15; }));
  EXPECT(refused([](Arrays& a) { a.positions[0] = -1; }));
  EXPECT(refused([](Arrays& a) { a.tables[0] = 2; }));
  EXPECT(refused([](Arrays& a) { a.tables[0] = -1; }));
  EXPECT(refused([](Arrays& a) { a.outputs = {2}; }));
  EXPECT(refused([](Arrays& a) { a.outputs = {0, 0}; }));
  EXPECT(refused([](Arrays& a) {
    a.tokens.resize(257);
    a.starts = {0, 257};
  }));
}

TEST(ABuilderNamesWhatIsMissing) {
  ModelBuilder builder(kConfig, {.max_tokens = 1, .max_chunks = 1}, Reference(), "int8", 1);
  std::string message;
  try {
    builder.Build();
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  EXPECT_EQ(message, "missing: embedding");
}

TEST(CodeThreeIsRefusedWithItsPlace) {
  ModelBuilder builder(kConfig, {.max_tokens = 1, .max_chunks = 1}, Reference(), "int8", 2);
  std::vector<std::uint8_t> codes(96 / 4 * 96, 0b01010101);
  codes[5 * 96 + 7] = 0b01110101;  // row 5 + 2 * 24
  std::string message;
  try {
    builder.SetLinear(1, "o", Packed(codes, 96, 96));
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  EXPECT(message.find("layer 1: linear o: row 53, column 7 holds code 3") == 0);
}

}  // namespace tercet::test
