// A small random model, whole: for tests of what surrounds the arithmetic.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fixtures.h"
#include "tercet/model.h"
#include "tercet/model_builder.h"

namespace tercet::test {

inline const ModelConfig kConfig{.num_layers = 2,
                                 .hidden_size = 96,
                                 .intermediate_size = 160,
                                 .num_heads = 6,
                                 .num_kv_heads = 2,
                                 .head_dim = 16,
                                 .vocab_size = 131,
                                 .max_context = 512,
                                 .rms_norm_eps = 1e-5F,
                                 .rope_frequencies = {1, 0.32, 0.1, 0.032, 0.01, 3e-3, 1e-3, 3e-4}};

inline TensorSource Packed(const std::vector<std::uint8_t>& codes, std::size_t rows,
                           std::size_t cols) {
  return {.layout = Layout::kHfPacked,
          .data = codes.data(),
          .num_bytes = codes.size(),
          .rows = rows,
          .cols = cols,
          .scale = 0.1F};
}

inline TensorSource Table(const std::vector<std::uint16_t>& table) {
  return {.layout = Layout::kBf16,
          .data = reinterpret_cast<const std::uint8_t*>(table.data()),
          .num_bytes = 2 * table.size(),
          .rows = kConfig.vocab_size,
          .cols = kConfig.hidden_size};
}

// A model whose weights depend on the run's seed alone; it owns the table that the model reads.
struct SmallModel {
  std::vector<std::uint16_t> table = Random(1).Bf16(kConfig.vocab_size * kConfig.hidden_size);
  std::unique_ptr<Model> model;

  SmallModel(const Kernels& kernels, std::size_t num_threads, const char* head = "int8") {
    Random random(2);
    ModelBuilder builder(kConfig, {.max_tokens = 256, .max_chunks = 4}, kernels, head, num_threads);
    const auto linear = [&](int layer, const char* name, std::size_t rows, std::size_t cols) {
      std::vector<std::uint8_t> codes(rows / 4 * cols);
      for (std::uint8_t& code : codes) {
        const auto digit = [&] { return random.Integer(0, 2); };
        code = static_cast<std::uint8_t>(digit() | digit() << 2 | digit() << 4 | digit() << 6);
      }
      builder.SetLinear(layer, name, Packed(codes, rows, cols));
    };
    const auto norm = [&](int layer, const char* name, std::size_t size) {
      builder.SetNorm(layer, name, random.Normals(size));
    };
    for (int layer = 0; layer < 2; ++layer) {
      norm(layer, "attention", 96);
      norm(layer, "attention_sub", 96);
      norm(layer, "feed_forward", 96);
      norm(layer, "feed_forward_sub", 160);
      linear(layer, "q", 96, 96);
      linear(layer, "k", 32, 96);
      linear(layer, "v", 32, 96);
      linear(layer, "o", 96, 96);
      linear(layer, "gate", 160, 96);
      linear(layer, "up", 160, 96);
      linear(layer, "down", 96, 160);
    }
    norm(-1, "final", 96);
    builder.SetEmbedding(Table(table));
    builder.SetHead(Table(table));
    model = builder.Build();
  }
};

}  // namespace tercet::test
