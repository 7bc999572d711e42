// One answer on every architecture: hashes of logits that were computed once and are asserted
// wherever the tests run. Inputs are integers and exact operations on them, so that no library's
// random numbers are part of the answer.
#include <bit>
#include <cstddef>
#include <span>

#include "fixtures.h"
#include "tercet/model.h"
#include "tercet/model_builder.h"

namespace tercet::test {
namespace {

class Numbers {
 public:
  std::uint32_t Next() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  // About normal, standard deviation 1.
  float Float() {
    float sum = 0;
    for (int i = 0; i < 3; ++i) sum += static_cast<float>(Next() >> 7) * 0x1p-23F - 1.0F;
    return sum;
  }
  std::vector<float> Floats(std::size_t n) {
    std::vector<float> x(n);
    for (float& value : x) value = Float();
    return x;
  }
  std::vector<std::uint16_t> Bf16(std::size_t n) {
    std::vector<std::uint16_t> x(n);
    for (std::uint16_t& value : x) {
      value = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(Float()) >> 16);
    }
    return x;
  }
  std::uint8_t Codes() {
    unsigned byte = 0;
    for (int i = 0; i < 4; ++i) byte = byte << 2 | Next() % 3;
    return static_cast<std::uint8_t>(byte);
  }

 private:
  std::uint64_t state_ = 7;
};

// FNV-1a over bytes.
template <class T>
std::uint64_t HashOf(const std::vector<T>& values, std::uint64_t hash = 0xcbf29ce484222325U) {
  for (const std::byte byte : std::as_bytes(std::span(values))) {
    hash = (hash ^ std::to_integer<std::uint8_t>(byte)) * 0x100000001b3U;
  }
  return hash;
}

constexpr std::size_t kVocab = 131;

ModelConfig ConfigOf(Grid grid, Activation activation) {
  return {.num_layers = 2,
          .hidden_size = 256,
          .intermediate_size = 384,
          .num_heads = 4,
          .num_kv_heads = 2,
          .head_dim = 64,
          .vocab_size = kVocab,
          .max_context = 64,
          .rms_norm_eps = 1e-5F,
          .rope_frequencies = std::vector<double>(32, 0.125),
          .activation = activation,
          .has_sub_norms = grid.group() == 0,
          .grid = grid};
}

// A model of the same integers on every machine.
class GoldenModel {
 public:
  GoldenModel(const Kernels& kernels, const ModelConfig& config, const char* head)
      : config_(config) {
    for (std::size_t j = 1; j < 32; ++j) {
      config_.rope_frequencies[j] = config_.rope_frequencies[j - 1] * 0.75;
    }
    ModelBuilder builder(config_, {.max_tokens = 32, .max_chunks = 1}, kernels, head, 1);
    for (int layer = 0; layer < 2; ++layer) AddLayer(builder, layer);
    builder.SetNorm(-1, "final", numbers_.Floats(config_.hidden_size));
    const TensorSource table{.layout = Layout::kBf16,
                             .data = reinterpret_cast<const std::uint8_t*>(table_.data()),
                             .num_bytes = 2 * table_.size(),
                             .rows = kVocab,
                             .cols = config_.hidden_size};
    builder.SetEmbedding(table);
    builder.SetHead(table);
    model_ = builder.Build();
  }

  // Of logits after a prompt of 25 tokens, then of four more, one at a time.
  std::uint64_t Hash(KvKind kind) {
    KVCache cache(config_, kind, 2, false);
    std::uint64_t hash = HashOf(std::vector<std::uint8_t>{});
    for (std::int32_t begin = 0, count = 25; begin < 29; begin += count, count = 1) {
      std::vector<std::int32_t> tokens;
      for (std::int32_t i = begin; i < begin + count; ++i) tokens.push_back(i * 37 % 131);
      const std::vector<std::int32_t> starts = {0, count};
      const std::vector<std::int32_t> positions = {begin};
      const std::vector<std::int32_t> tables = {1, 0};
      const std::vector<std::int32_t> outputs = {count - 1};
      model_->Forward({tokens, starts, positions, tables, 2, outputs}, cache);
      std::vector<float> logits(kVocab);
      model_->Logits(logits.data());
      hash = HashOf(logits, hash);
    }
    return hash;
  }

 private:
  void AddLayer(ModelBuilder& builder, int layer) {
    const std::size_t hidden = config_.hidden_size;
    const std::size_t inner = config_.intermediate_size;
    builder.SetNorm(layer, "attention", numbers_.Floats(hidden));
    builder.SetNorm(layer, "feed_forward", numbers_.Floats(hidden));
    if (config_.has_sub_norms) {
      builder.SetNorm(layer, "attention_sub", numbers_.Floats(config_.q_size()));
      builder.SetNorm(layer, "feed_forward_sub", numbers_.Floats(inner));
    }
    AddLinear(builder, layer, "q", config_.q_size(), hidden);
    AddLinear(builder, layer, "k", config_.kv_size(), hidden);
    AddLinear(builder, layer, "v", config_.kv_size(), hidden);
    AddLinear(builder, layer, "o", hidden, config_.q_size());
    AddLinear(builder, layer, "gate", inner, hidden);
    AddLinear(builder, layer, "up", inner, hidden);
    AddLinear(builder, layer, "down", hidden, inner);
  }

  void AddLinear(ModelBuilder& builder, int layer, const char* name, std::size_t rows,
                 std::size_t cols) {
    const bool grouped = config_.grid.weight_group != 0;
    std::vector<std::uint8_t> bytes;
    for (std::size_t block = 0; block < rows * cols / 128; ++block) {
      if (grouped) {  // a float16 scale between 1/64 and 1/32
        bytes.push_back(static_cast<std::uint8_t>(numbers_.Next()));
        bytes.push_back(static_cast<std::uint8_t>(0x24U + numbers_.Next() % 4));
      }
      for (std::size_t i = 0; i < 32; ++i) bytes.push_back(numbers_.Codes());
    }
    builder.SetLinear(layer, name,
                      {.layout = grouped ? Layout::kQ2Of128 : Layout::kHfPacked,
                       .data = bytes.data(),
                       .num_bytes = bytes.size(),
                       .rows = rows,
                       .cols = cols,
                       .scale = grouped ? 1.0F : 0.03125F});
  }

  ModelConfig config_;
  Numbers numbers_;
  std::vector<std::uint16_t> table_ = numbers_.Bf16(kVocab * config_.hidden_size);
  std::unique_ptr<Model> model_;
};

constexpr Grid kOneScale = {};
constexpr Grid kGroups = {.weight_group = 128, .activation_group = 128};
constexpr Grid kTwoTerms = {.weight_group = 128, .activation_group = 128, .has_two_terms = true};

}  // namespace

KERNEL_TEST(rows_with_one_scale_give_the_same_bytes_on_every_architecture) {
  GoldenModel model(kernels, ConfigOf(kOneScale, Activation::kRelu2), "int8");
  EXPECT_EQ(model.Hash(KvKind::kBf16), 0xb9bc24d5cd554619U);
  EXPECT_EQ(model.Hash(KvKind::kFloat32), 0xf1c978e9cb89ceccU);
  EXPECT_EQ(model.Hash(KvKind::kInt8), 0xc5462bc740fe6352U);
}

KERNEL_TEST(a_bfloat16_head_gives_the_same_bytes_on_every_architecture) {
  GoldenModel model(kernels, ConfigOf(kOneScale, Activation::kSilu), "bf16");
  EXPECT_EQ(model.Hash(KvKind::kBf16), 0x716c4fe451a1313eU);
}

KERNEL_TEST(groups_give_the_same_bytes_on_every_architecture) {
  GoldenModel one(kernels, ConfigOf(kGroups, Activation::kSilu), "int8");
  EXPECT_EQ(one.Hash(KvKind::kBf16), 0x8c460d688e52056dU);
  GoldenModel two(kernels, ConfigOf(kTwoTerms, Activation::kSilu), "int8");
  EXPECT_EQ(two.Hash(KvKind::kInt8), 0x1d26762113a8d670U);
}

KERNEL_TEST(draws_are_the_same_on_every_architecture) {
  const std::vector<float> logits = Numbers().Floats(1000);
  std::vector<std::uint64_t> drawn;
  for (std::uint32_t position = 0; position < 64; ++position) {
    const DrawKey key{.seed = 0x123456789abcdef0U, .choice = 1, .position = position};
    drawn.push_back(kernels.gumbel_argmax(logits.data(), logits.size(), 1.25F, -2.0F, &key));
  }
  EXPECT_EQ(HashOf(drawn), 0x751aae6f6f020d77U);
  EXPECT_EQ(HashOf(std::vector{kernels.sum_exp(logits.data(), logits.size(), 3.0F, 1.25F)}),
            0x069f44997907f1a8U);
}

}  // namespace tercet::test
