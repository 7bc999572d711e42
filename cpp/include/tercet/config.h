// The sizes of a model.
#pragma once

#include <cstddef>

namespace tercet {

struct ModelConfig {
  std::size_t num_layers = 0;
  std::size_t hidden_size = 0;
  std::size_t intermediate_size = 0;
  std::size_t num_heads = 0;
  std::size_t num_kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t vocab_size = 0;
  std::size_t max_context = 0;
  float rms_norm_eps = 0;
  double rope_theta = 0;

  std::size_t q_size() const { return num_heads * head_dim; }
  std::size_t kv_size() const { return num_kv_heads * head_dim; }
  std::size_t group() const { return num_heads / num_kv_heads; }

  // Throws std::invalid_argument naming the relation that does not hold.
  void Check() const;
};

}  // namespace tercet
