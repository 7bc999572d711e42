#include "tercet/model_builder.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "formats/tiles.h"
#include "kernels/registry.h"
#include "packing_choice.h"
#include "weights.h"

namespace tercet {
namespace {

struct NormName {
  std::string_view name;
  std::vector<float> LayerWeights::* weight;
  std::size_t (*size)(const ModelConfig&);  // 0: there is none
};

// Norms of linear layers' own are called after them.
constexpr std::string_view kInputPrefix = "input_";

constexpr NormName kNormNames[] = {
    {"attention", &LayerWeights::attention_norm,
     [](const ModelConfig& config) { return config.hidden_size; }},
    {"attention_sub", &LayerWeights::attention_sub_norm,
     [](const ModelConfig& config) { return config.has_sub_norms ? config.q_size() : 0; }},
    {"feed_forward", &LayerWeights::feed_forward_norm,
     [](const ModelConfig& config) { return config.hidden_size; }},
    {"feed_forward_sub", &LayerWeights::feed_forward_sub_norm,
     [](const ModelConfig& config) { return config.has_sub_norms ? config.intermediate_size : 0; }},
    {"query", &LayerWeights::query_norm,
     [](const ModelConfig& config) { return config.has_head_norms ? config.head_dim : 0; }},
    {"key", &LayerWeights::key_norm,
     [](const ModelConfig& config) { return config.has_head_norms ? config.head_dim : 0; }},
};

void Require(bool holds, const std::string& otherwise) {
  if (!holds) {
    throw std::invalid_argument(otherwise);
  }
}

HeadKind ParseHead(std::string_view name) {
  Require(name == "int8" || name == "bf16" || name == "ternary",
          "the head is '" + std::string(name) + "'; it can be int8, bf16 or ternary");
  return name == "int8" ? HeadKind::kInt8 : name == "bf16" ? HeadKind::kBf16 : HeadKind::kTernary;
}

std::string TensorName(int layer, std::string_view kind, std::string_view name) {
  return "layer " + std::to_string(layer) + ": " + std::string(kind) + " " + std::string(name);
}

// Angles in double, rounded once.
void FillRope(const ModelConfig& config, Weights& weights) {
  const std::size_t half = config.head_dim / 2;
  weights.rope_cos = AlignedBuffer<float>(config.max_context * half);
  weights.rope_sin = AlignedBuffer<float>(config.max_context * half);
  for (std::size_t j = 0; j < half; ++j) {
    for (std::size_t position = 0; position < config.max_context; ++position) {
      const double angle = static_cast<double>(position) * config.rope_frequencies[j];
      const std::size_t place = position * half + j;
      weights.rope_cos[place] = static_cast<float>(std::cos(angle) * config.rope_scale);
      weights.rope_sin[place] = static_cast<float>(std::sin(angle) * config.rope_scale);
    }
  }
}

const LinearName* FindLinear(std::string_view name) {
  for (const LinearName& candidate : kLinearNames) {
    if (candidate.name == name) {
      return &candidate;
    }
  }
  return nullptr;
}

bool IsGroup(std::size_t group) {
  return group == 0 || group == 64 || group == 128 || group == kMaxGroup;
}

}  // namespace

void Grid::Check() const {
  Require(IsGroup(weight_group) && IsGroup(activation_group),
          "scales are shared by 64, 128 or 256 columns, or by whole rows");
}

void ModelConfig::Check() const {
  Require(num_layers >= 1 && hidden_size >= 1 && intermediate_size >= 1 && num_heads >= 1 &&
              num_kv_heads >= 1 && vocab_size >= 1 && max_context >= 1,
          "every size of a model is at least 1");
  Require(std::max({num_layers, hidden_size, intermediate_size, num_heads, head_dim, vocab_size,
                    max_context}) <= std::size_t{1} << 31,
          "a size of a model is over 2^31");
  Require(num_heads % num_kv_heads == 0, std::to_string(num_heads) + " heads cannot share " +
                                             std::to_string(num_kv_heads) +
                                             " key-value heads equally");
  Require(head_dim >= kBlockSize && head_dim % kBlockSize == 0,
          "head_dim is " + std::to_string(head_dim) + "; it must be a multiple of 16");
  Require(
      hidden_size % 4 == 0 && intermediate_size % 4 == 0 && q_size() % 4 == 0 && kv_size() % 4 == 0,
      "packed matrices have a multiple of 4 rows");
  // A row's integer sum must convert to float exactly: 127 * cols < 2^24.
  Require(std::max({hidden_size, intermediate_size, q_size()}) <= 131072,
          "a matrix has more than 131072 columns");
  Require(std::isfinite(rms_norm_eps) && rms_norm_eps >= 0, "rms_norm_eps is not a small number");
  Require(rope_frequencies.size() == head_dim / 2, std::to_string(rope_frequencies.size()) +
                                                       " rotary frequencies; a head has " +
                                                       std::to_string(head_dim / 2) + " pairs");
  for (const double number : rope_frequencies) {
    Require(std::isfinite(number) && number >= 0, "a rotary frequency is not a positive number");
  }
  for (const double number :
       {rope_scale, static_cast<double>(embedding_scale), static_cast<double>(residual_scale),
        static_cast<double>(logit_scale)}) {
    Require(std::isfinite(number) && number != 0, "a multiplier is 0 or not a number");
  }
  Require(std::isfinite(linear_norm_eps) && linear_norm_eps >= 0,
          "linear_norm_eps is not a small number");
  grid.Check();
}

ModelBuilder::ModelBuilder(ModelConfig config, const BatchLimits& limits, const Kernels& kernels,
                           std::string_view head, std::size_t num_threads, std::string_view packing)
    : config_(std::move(config)), limits_(limits), kernels_(kernels) {
  config_.Check();
  Require(num_threads >= 1 && num_threads <= 1024,
          std::to_string(num_threads) + " threads; from 1 to 1024 are possible");
  Require(limits_.max_chunks >= 1 && limits_.max_chunks <= limits_.max_tokens,
          "max_batch_chunks is " + std::to_string(limits_.max_chunks) +
              "; it must be from 1 to max_batch_tokens, " + std::to_string(limits_.max_tokens));
  pool_ = std::make_unique<ThreadPool>(num_threads);
  const WeightPacking chosen = packing == kAutoPacking
                                   ? FastestPacking(kernels_, config_, *pool_)
                                   : FindPacking(kernels_, config_.grid, packing);
  weights_ = std::make_unique<Weights>(
      Weights{.embedding = {},
              .layers = {},
              .final_norm = {},
              .head = Head(ParseHead(head), config_.vocab_size, config_.hidden_size, chosen),
              .rope_cos = {},
              .rope_sin = {}});
  weights_->layers.reserve(config_.num_layers);
  missing_ = {"embedding", "head", TensorName(-1, "norm", "final")};
  for (std::size_t i = 0; i < config_.num_layers; ++i) {
    weights_->layers.emplace_back(chosen, config_);
    const int layer = static_cast<int>(i);
    for (const NormName& norm : kNormNames) {
      if (norm.size(config_) != 0) {
        missing_.insert(TensorName(layer, "norm", norm.name));
      }
    }
    for (const LinearName& linear : kLinearNames) {
      missing_.insert(TensorName(layer, "linear", linear.name));
      if (config_.has_linear_norms) {
        const std::string own = std::string(kInputPrefix) + std::string(linear.name);
        missing_.insert(TensorName(layer, "norm", own));
      }
    }
  }
  FillRope(config_, *weights_);
}

ModelBuilder::~ModelBuilder() = default;

std::size_t ModelBuilder::WeightBytes(const ModelConfig& config, std::string_view kernels,
                                      std::string_view head, std::string_view packing) {
  return WeightBytesOf(SelectKernels(kernels), config, ParseHead(head), packing);
}

void ModelBuilder::SetNorm(int layer, std::string_view name, std::span<const float> weight) {
  RequireUnspent();
  const std::string tensor = TensorName(layer, "norm", name);
  const auto require_size = [&](std::size_t size) {
    Require(weight.size() == size, tensor + " has " + std::to_string(weight.size()) +
                                       " values; this model needs " + std::to_string(size));
  };
  missing_.erase(tensor);
  if (layer == -1 && name == "final") {
    require_size(config_.hidden_size);
    weights_->final_norm.assign(weight.begin(), weight.end());
    for (float& gain : weights_->final_norm) {
      gain *= config_.logit_scale;
    }
    return;
  }
  Require(layer >= 0 && static_cast<std::size_t>(layer) < config_.num_layers,
          "no tensor is called '" + tensor + "'");
  LayerWeights& weights = weights_->layers[static_cast<std::size_t>(layer)];
  for (const NormName& norm : kNormNames) {
    if (norm.name == name && norm.size(config_) != 0) {
      require_size(norm.size(config_));
      (weights.*norm.weight).assign(weight.begin(), weight.end());
      return;
    }
  }
  const bool is_own = config_.has_linear_norms && name.starts_with(kInputPrefix);
  const LinearName* owner = is_own ? FindLinear(name.substr(kInputPrefix.size())) : nullptr;
  Require(owner != nullptr, "no tensor is called '" + tensor + "'");
  require_size((weights.*(owner->linear)).cols());
  (weights.*(owner->linear)).SetNorm(owner->part, weight);
}

void ModelBuilder::SetLinear(int layer, std::string_view name, const TensorSource& source) {
  RequireUnspent();
  const std::string tensor = TensorName(layer, "linear", name);
  const LinearName* found = FindLinear(name);
  Require(found != nullptr && layer >= 0 && static_cast<std::size_t>(layer) < config_.num_layers,
          "no tensor is called '" + tensor + "'");
  Linear& linear = weights_->layers[static_cast<std::size_t>(layer)].*(found->linear);
  const std::size_t rows = linear.part_rows(found->part);
  Require(source.rows == rows && source.cols == linear.cols(),
          tensor + " is " + std::to_string(source.rows) + " x " + std::to_string(source.cols) +
              "; this model needs " + std::to_string(rows) + " x " + std::to_string(linear.cols()));
  Require(std::isfinite(source.scale), tensor + " has a scale that is not a number");
  const bool adds_to_residual = name == "o" || name == "down";
  try {
    source.Check();
    linear.Pack(*pool_, found->part, source, adds_to_residual ? config_.residual_scale : 1.0F);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(tensor + ": " + error.what());
  }
  RequireAllOnGrid(linear, tensor);
  missing_.erase(tensor);
}

void ModelBuilder::SetBias(int layer, std::string_view name, std::span<const float> bias) {
  RequireUnspent();
  const std::string tensor = TensorName(layer, "bias", name);
  const LinearName* found = FindLinear(name);
  Require(found != nullptr && layer >= 0 && static_cast<std::size_t>(layer) < config_.num_layers,
          "no tensor is called '" + tensor + "'");
  Linear& linear = weights_->layers[static_cast<std::size_t>(layer)].*(found->linear);
  const std::size_t rows = linear.part_rows(found->part);
  Require(bias.size() == rows, tensor + " has " + std::to_string(bias.size()) +
                                   " values; this model needs " + std::to_string(rows));
  std::vector<float> scaled(bias.begin(), bias.end());
  if (name == "o" || name == "down") {
    for (float& value : scaled) {
      value *= config_.residual_scale;
    }
  }
  linear.SetBias(found->part, scaled);
}

void ModelBuilder::SetEmbedding(const TensorSource& table) {
  RequireUnspent();
  CheckTable("embedding", table);
  weights_->embedding = table;
  missing_.erase("embedding");
}

void ModelBuilder::SetHead(const TensorSource& table) {
  TakeHead(table, [&](Head& head) { head.Pack(kernels_, *pool_, table); });
}

void ModelBuilder::SetPacked(int layer, std::string_view name, const PackedTiles& matrix,
                             bool in_place) {
  RequireUnspent();
  const auto* const found = std::find_if(kFusedNames.begin(), kFusedNames.end(),
                                         [&](const FusedName& one) { return one.name == name; });
  const std::string tensor = TensorName(layer, "matrix", name);
  Require(found != kFusedNames.end() && layer >= 0 &&
              static_cast<std::size_t>(layer) < config_.num_layers,
          "no tensor is called '" + tensor + "'");
  Linear& linear = weights_->layers[static_cast<std::size_t>(layer)].*(found->linear);
  try {
    linear.Take(*pool_, matrix, in_place);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(tensor + ": " + error.what());
  }
  RequireAllOnGrid(linear, tensor);
  for (const LinearName& one : kLinearNames) {
    if (one.linear == found->linear) {
      missing_.erase(TensorName(layer, "linear", one.name));
    }
  }
}

void ModelBuilder::SetPackedHead(const TensorSource& table, const PackedPlane& plane,
                                 bool in_place) {
  TakeHead(table, [&](Head& head) { head.Take(*pool_, table, plane, in_place); });
}

void ModelBuilder::SetPackedHead(const TensorSource& table, const PackedTiles& matrix,
                                 bool in_place) {
  TakeHead(table, [&](Head& head) { head.Take(*pool_, table, matrix, in_place); });
}

template <typename Take>
void ModelBuilder::TakeHead(const TensorSource& table, const Take& take) {
  RequireUnspent();
  CheckTable("head", table);
  try {
    take(weights_->head);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("head: ") + error.what());
  }
  missing_.erase("head");
}

void ModelBuilder::RequireAllOnGrid(const Linear& linear, const std::string& tensor) const {
  Require(!config_.has_linear_norms || linear.num_outliers() == 0,
          tensor + " has weights on no grid, which layers with norms of their own cannot have");
}

void ModelBuilder::CheckTable(std::string_view name, const TensorSource& table) const {
  Require(table.rows == config_.vocab_size && table.cols == config_.hidden_size,
          "the " + std::string(name) + " is " + std::to_string(table.rows) + " x " +
              std::to_string(table.cols) + "; this model needs " +
              std::to_string(config_.vocab_size) + " x " + std::to_string(config_.hidden_size));
  table.Check();
}

std::unique_ptr<Model> ModelBuilder::Build() {
  RequireUnspent();
  Require(missing_.empty(), "missing: " + (missing_.empty() ? "" : *missing_.begin()));
  return std::make_unique<Model>(config_, limits_, kernels_, std::move(pool_), std::move(weights_));
}

void ModelBuilder::RequireUnspent() const {
  Require(weights_ != nullptr, "this builder has already built its model");
}

}  // namespace tercet
