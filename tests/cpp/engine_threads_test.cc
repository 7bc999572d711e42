// Several models in one process, as a server has them: each is built on one thread, stepped by a
// thread of its own, looked at by others and ended by yet another. Worth most under
// ThreadSanitizer.
#include <atomic>
#include <thread>
#include <vector>

#include "fixtures.h"
#include "sampling_rows.h"
#include "small_model.h"
#include "test.h"

namespace tercet::test {
namespace {

using Ints = std::vector<std::int32_t>;

constexpr std::int32_t kPromptTokens = 40;
constexpr std::int32_t kSteps = 12;

// A prompt and the tokens drawn after it, by turns with all logits and without.
Ints Answer(Model& model) {
  KVCache cache(kConfig, KvKind::kBf16, 4, false);
  Ints tokens(kPromptTokens);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(i * 37 % 131);
  }
  const Ints tables{2, 0, 3, 1};
  std::int32_t num_computed = 0;
  for (std::int32_t step = 0; step < kSteps; ++step) {
    const auto count = static_cast<std::int32_t>(tokens.size()) - num_computed;
    const Ints chunk(tokens.end() - count, tokens.end());
    const Ints starts{0, count};
    const Ints positions{num_computed};
    const Ints outputs{count - 1};
    model.Forward({chunk, starts, positions, tables, 4, outputs}, cache);
    Options row{.temperature = 0.8F, .seed = 7, .position = kPromptTokens + step};
    if (step % 3 == 1) row.top_k = 20;
    if (step % 3 == 2) row.num_logprobs = 5;
    tokens.push_back(model.Sample(SamplingRows({row}).batch()).tokens[0]);
    num_computed += count;
  }
  return tokens;
}

}  // namespace

KERNEL_TEST(ModelsOnThreadsOfTheirOwnDoNotMix) {
  constexpr std::size_t kModels = 3;
  SmallModel alone(kernels, 1);
  const Ints wanted = Answer(*alone.model);

  std::vector<std::unique_ptr<SmallModel>> models(kModels);
  {
    std::vector<std::jthread> loaders;
    for (std::size_t i = 0; i < kModels; ++i) {
      loaders.emplace_back([&, i] { models[i] = std::make_unique<SmallModel>(kernels, i + 1); });
    }
  }
  std::atomic<bool> is_over{false};
  std::atomic<std::size_t> num_wrong{0};
  std::jthread onlooker([&] {  // what never changes may be asked for at any time
    while (!is_over.load()) {
      for (const auto& small : models) {
        const Model& model = *small->model;
        if (model.num_threads() == 0 || model.config().vocab_size != 131 ||
            model.decode_bytes() == 0 || model.num_outliers() != 0 || *model.packing() == '\0') {
          ++num_wrong;
        }
      }
      std::this_thread::yield();
    }
  });
  {
    std::vector<std::jthread> engines;
    for (std::size_t i = 0; i < kModels; ++i) {
      engines.emplace_back([&, i] {
        if (Answer(*models[i]->model) != wanted) ++num_wrong;
        if (models[i]->model->head_stats().full == 0) ++num_wrong;
      });
    }
  }
  is_over = true;
  onlooker.join();
  std::jthread([&] { models.clear(); }).join();
  EXPECT_EQ(num_wrong.load(), 0U);
}

}  // namespace tercet::test
