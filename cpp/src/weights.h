// A model's parameters, packed.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "head.h"
#include "linear.h"
#include "tercet/config.h"

namespace tercet {

struct LayerWeights {
  std::vector<float> attention_norm;         // [hidden_size]
  Linear qkv;                                // hidden_size -> q_size, kv_size, kv_size
  std::vector<float> query_norm;             // [head_dim], or none
  std::vector<float> key_norm;               // [head_dim], or none
  std::vector<float> attention_sub_norm;     // [q_size], or none
  Linear o;                                  // q_size -> hidden_size
  std::vector<float> feed_forward_norm;      // [hidden_size]
  Linear gate_up;                            // hidden_size -> intermediate_size, twice
  std::vector<float> feed_forward_sub_norm;  // [intermediate_size], or none
  Linear down;                               // intermediate_size -> hidden_size

  LayerWeights(const WeightPacking& packing, const ModelConfig& config)
      : qkv(packing, std::array{config.q_size(), config.kv_size(), config.kv_size()},
            config.hidden_size),
        o(packing, std::array{config.hidden_size}, config.q_size()),
        gate_up(packing, std::array{config.intermediate_size, config.intermediate_size},
                config.hidden_size),
        down(packing, std::array{config.hidden_size}, config.intermediate_size) {}

  std::size_t num_outliers() const {
    return qkv.num_outliers() + o.num_outliers() + gate_up.num_outliers() + down.num_outliers();
  }
  std::size_t bytes() const { return qkv.bytes() + o.bytes() + gate_up.bytes() + down.bytes(); }
};

// Which matrix, and which part of it, a checkpoint's name means.
struct LinearName {
  std::string_view name;
  Linear LayerWeights::* linear;
  std::size_t part;
};
inline constexpr std::array kLinearNames{
    LinearName{"q", &LayerWeights::qkv, 0},        LinearName{"k", &LayerWeights::qkv, 1},
    LinearName{"v", &LayerWeights::qkv, 2},        LinearName{"o", &LayerWeights::o, 0},
    LinearName{"gate", &LayerWeights::gate_up, 0}, LinearName{"up", &LayerWeights::gate_up, 1},
    LinearName{"down", &LayerWeights::down, 0},
};

// What of a layer is one matrix in a converted model.
struct FusedName {
  std::string_view name;
  Linear LayerWeights::* linear;
};
inline constexpr std::array kFusedNames{
    FusedName{"qkv", &LayerWeights::qkv},
    FusedName{"o", &LayerWeights::o},
    FusedName{"gate_up", &LayerWeights::gate_up},
    FusedName{"down", &LayerWeights::down},
};

struct Weights {
  TensorSource embedding;  // [vocab_size][hidden_size]; a few rows are read per batch
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;  // [hidden_size]
  Head head;
  // Cosines and sines of every position, times rope_scale: [max_context][head_dim / 2].
  AlignedBuffer<float> rope_cos;
  AlignedBuffer<float> rope_sin;
};

}  // namespace tercet
