// The sizes of a model, and the choices that families of models differ by.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace tercet {

// What becomes of the gate before it is multiplied with `up`.
enum class Activation { kRelu2, kSilu };

// Columns that share a scale: of a ternary row, and of int8 activations; 0: all of them.
struct Grid {
  std::size_t weight_group = 0;
  std::size_t activation_group = 0;
  // Activations of groups are the sum of two int8 terms, the second of what the first leaves: about
  // 16 bits.
  bool has_two_terms = false;

  // The groups that products are computed in, the smaller of both; 0: none.
  std::size_t group() const {
    if (weight_group == 0 || activation_group == 0) {
      return weight_group + activation_group;
    }
    return std::min(weight_group, activation_group);
  }

  // Throws std::invalid_argument unless both are sizes that the kernels know.
  void Check() const;
};

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
  std::vector<double> rope_frequencies = {};  // [head_dim / 2], radians per position
  double rope_scale = 1;                      // of cosines and sines
  Activation activation = Activation::kRelu2;
  bool has_sub_norms = true;      // before o and before down
  bool has_head_norms = false;    // of each head's query and key
  bool has_linear_norms = false;  // before each linear, of its own
  float linear_norm_eps = 0;
  float embedding_scale = 1;
  float residual_scale = 1;  // of what a branch adds
  float logit_scale = 1;
  Grid grid = {};

  std::size_t q_size() const { return num_heads * head_dim; }
  std::size_t kv_size() const { return num_kv_heads * head_dim; }
  std::size_t group() const { return num_heads / num_kv_heads; }

  // Throws std::invalid_argument naming the relation that does not hold.
  void Check() const;
};

}  // namespace tercet
