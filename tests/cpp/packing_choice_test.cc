// The choice of a packing. What it measures is the machine's; what it makes of that is tested here.
#include "packing_choice.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "test.h"

namespace tercet::test {
namespace {

const ModelConfig kTiny{.num_layers = 2,
                        .hidden_size = 256,
                        .intermediate_size = 512,
                        .num_heads = 4,
                        .num_kv_heads = 2,
                        .head_dim = 64,
                        .vocab_size = 100,
                        .max_context = 64,
                        .rms_norm_eps = 1e-5F,
                        .rope_frequencies = std::vector<double>(32, 0.1)};
constexpr Grid kGroups{.weight_group = 128, .activation_group = 128};

ModelConfig WithLayers(std::size_t num_layers) {
  ModelConfig config = kTiny;
  config.num_layers = num_layers;
  return config;
}

}  // namespace

TEST(TheFastestPackingIsChosen) {
  EXPECT_EQ(SmallestOfFastest(std::vector{2.0, 1.0, 3.0}, std::vector<size_t>{1, 9, 2}), size_t{1});
}

TEST(OfPackingsAboutAsFastTheSmallestIsChosen) {
  const std::vector<size_t> bytes{10, 8, 6};
  EXPECT_EQ(SmallestOfFastest(std::vector{1.0, 1.02, 1.05}, bytes), size_t{1});
  EXPECT_EQ(SmallestOfFastest(std::vector{1.0, 1.05, 1.02}, bytes), size_t{2});
  EXPECT_EQ(SmallestOfFastest(std::vector{1.0, 1.04, 1.05}, bytes), size_t{0});
}

KERNEL_TEST(ATinyModelTakesTheFirstPacking) {
  ThreadPool pool(1);
  EXPECT_EQ(FastestPacking(kernels, kTiny, pool).plain, &kernels.packings[0]);
}

KERNEL_TEST(ALargerModelTakesOneOfTheSetsPackings) {
  ThreadPool pool(2);
  const WeightPacking chosen = FastestPacking(kernels, WithLayers(200), pool);
  EXPECT_EQ(FindPacking(kernels, {}, chosen.name()).plain, chosen.plain);
}

KERNEL_TEST(AModelWhoseScalesAreSharedByGroupsTakesAPackingOfGroups) {
  ModelConfig config = WithLayers(200);
  config.grid = kGroups;
  ThreadPool pool(2);
  const WeightPacking chosen = FastestPacking(kernels, config, pool);
  EXPECT_EQ(FindPacking(kernels, kGroups, chosen.name()).grouped, chosen.grouped);
  EXPECT_EQ(chosen.plain, static_cast<const TernaryPacking*>(nullptr));
}

KERNEL_TEST(APackingIsFoundByItsNameAndAnUnknownOneIsRefusedWithThoseThereAre) {
  for (size_t i = 0; i < kernels.num_packings; ++i) {
    EXPECT_EQ(FindPacking(kernels, {}, kernels.packings[i].name).plain, &kernels.packings[i]);
  }
  std::string message;
  try {
    FindPacking(kernels, {}, "zip");
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  EXPECT(message.find("has no packing 'zip'; it has 2bit") != std::string::npos);
}

KERNEL_TEST(WeightsOfAnUndecidedPackingAreCountedAtTheirMost) {
  const size_t most = WeightBytesOf(kernels, kTiny, HeadKind::kInt8, kAutoPacking);
  size_t largest = 0;
  for (size_t i = 0; i < kernels.num_packings; ++i) {
    largest =
        std::max(largest, WeightBytesOf(kernels, kTiny, HeadKind::kInt8, kernels.packings[i].name));
  }
  EXPECT_EQ(most, largest);
}

}  // namespace tercet::test
