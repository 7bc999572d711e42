#include "tercet/model_builder.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "kernels/registry.h"
#include "packing_choice.h"
#include "weights.h"

namespace tercet {
namespace {

struct NormName {
  std::string_view name;
  std::vector<float> LayerWeights::* weight;
  std::size_t (*size)(const ModelConfig&);
};
constexpr NormName kNormNames[] = {
    {"attention", &LayerWeights::attention_norm,
     [](const ModelConfig& config) { return config.hidden_size; }},
    {"attention_sub", &LayerWeights::attention_sub_norm,
     [](const ModelConfig& config) { return config.q_size(); }},
    {"feed_forward", &LayerWeights::feed_forward_norm,
     [](const ModelConfig& config) { return config.hidden_size; }},
    {"feed_forward_sub", &LayerWeights::feed_forward_sub_norm,
     [](const ModelConfig& config) { return config.intermediate_size; }},
};

void Require(bool holds, const std::string& otherwise) {
  if (!holds) {
    throw std::invalid_argument(otherwise);
  }
}

HeadKind ParseHead(std::string_view name) {
  Require(name == "int8" || name == "bf16",
          "the head is '" + std::string(name) + "'; it can be int8 or bf16");
  return name == "int8" ? HeadKind::kInt8 : HeadKind::kBf16;
}

std::string TensorName(int layer, std::string_view kind, std::string_view name) {
  return "layer " + std::to_string(layer) + ": " + std::string(kind) + " " + std::string(name);
}

// Angles in double, rounded once: pair j of position p turns by p * theta^(-2j / head_dim).
void FillRope(const ModelConfig& config, Weights& weights) {
  const std::size_t half = config.head_dim / 2;
  weights.rope_cos = AlignedBuffer<float>(config.max_context * half);
  weights.rope_sin = AlignedBuffer<float>(config.max_context * half);
  for (std::size_t j = 0; j < half; ++j) {
    const double frequency = std::pow(
        config.rope_theta, -2.0 * static_cast<double>(j) / static_cast<double>(config.head_dim));
    for (std::size_t position = 0; position < config.max_context; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      weights.rope_cos[position * half + j] = static_cast<float>(std::cos(angle));
      weights.rope_sin[position * half + j] = static_cast<float>(std::sin(angle));
    }
  }
}

}  // namespace

void ModelConfig::Check() const {
  Require(num_layers >= 1 && hidden_size >= 1 && intermediate_size >= 1 && num_heads >= 1 &&
              num_kv_heads >= 1 && vocab_size >= 1 && max_context >= 1,
          "every size of a model is at least 1");
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
  Require(std::isfinite(rope_theta) && rope_theta > 0, "rope_theta is not positive");
}

ModelBuilder::ModelBuilder(const ModelConfig& config, const BatchLimits& limits,
                           const Kernels& kernels, std::string_view head, std::size_t num_threads,
                           std::string_view packing)
    : config_(config), limits_(limits), kernels_(kernels) {
  config_.Check();
  Require(num_threads >= 1 && num_threads <= 1024,
          std::to_string(num_threads) + " threads; from 1 to 1024 are possible");
  Require(limits_.max_chunks >= 1 && limits_.max_chunks <= limits_.max_tokens,
          "max_batch_chunks is " + std::to_string(limits_.max_chunks) +
              "; it must be from 1 to max_batch_tokens, " + std::to_string(limits_.max_tokens));
  pool_ = std::make_unique<ThreadPool>(num_threads);
  weights_ = std::make_unique<Weights>(
      Weights{.embedding = {},
              .layers = {},
              .final_norm = {},
              .head = Head(ParseHead(head), config_.vocab_size, config_.hidden_size),
              .rope_cos = {},
              .rope_sin = {}});
  const TernaryPacking& chosen = packing == kAutoPacking ? FastestPacking(kernels_, config_, *pool_)
                                                         : FindPacking(kernels_, packing);
  weights_->layers.reserve(config_.num_layers);
  missing_ = {"embedding", "head", TensorName(-1, "norm", "final")};
  for (std::size_t i = 0; i < config_.num_layers; ++i) {
    weights_->layers.emplace_back(chosen, config_);
    for (const NormName& norm : kNormNames) {
      missing_.insert(TensorName(static_cast<int>(i), "norm", norm.name));
    }
    for (const LinearName& linear : kLinearNames) {
      missing_.insert(TensorName(static_cast<int>(i), "linear", linear.name));
    }
  }
  FillRope(config_, *weights_);
}

ModelBuilder::~ModelBuilder() = default;

std::size_t ModelBuilder::WeightBytes(const ModelConfig& config, std::string_view kernels,
                                      std::string_view head, std::string_view packing) {
  const Kernels& set = SelectKernels(kernels);
  const Head sized(ParseHead(head), config.vocab_size, config.hidden_size);
  return TernaryWeightBytes(set, config, packing) + sized.bytes();
}

void ModelBuilder::SetNorm(int layer, std::string_view name, std::span<const float> weight) {
  RequireUnspent();
  std::vector<float>* destination = nullptr;
  std::size_t size = config_.hidden_size;
  if (layer == -1 && name == "final") {
    destination = &weights_->final_norm;
  } else if (layer >= 0 && static_cast<std::size_t>(layer) < config_.num_layers) {
    for (const NormName& norm : kNormNames) {
      if (norm.name == name) {
        destination = &(weights_->layers[static_cast<std::size_t>(layer)].*norm.weight);
        size = norm.size(config_);
      }
    }
  }
  const std::string tensor = TensorName(layer, "norm", name);
  Require(destination != nullptr, "no tensor is called '" + tensor + "'");
  Require(weight.size() == size, tensor + " has " + std::to_string(weight.size()) +
                                     " values; this model needs " + std::to_string(size));
  destination->assign(weight.begin(), weight.end());
  missing_.erase(tensor);
}

void ModelBuilder::SetLinear(int layer, std::string_view name, std::span<const std::uint8_t> codes,
                             float scale) {
  RequireUnspent();
  const std::string tensor = TensorName(layer, "linear", name);
  const LinearName* found = nullptr;
  for (const LinearName& candidate : kLinearNames) {
    if (candidate.name == name) {
      found = &candidate;
    }
  }
  Require(found != nullptr && layer >= 0 && static_cast<std::size_t>(layer) < config_.num_layers,
          "no tensor is called '" + tensor + "'");
  Linear& linear = weights_->layers[static_cast<std::size_t>(layer)].*(found->linear);
  const std::size_t expected = linear.part_rows(found->part) / 4 * linear.cols();
  Require(codes.size() == expected, tensor + " has " + std::to_string(codes.size()) +
                                        " bytes; this model needs " + std::to_string(expected));
  Require(std::isfinite(scale), tensor + " has a scale that is not a number");
  try {
    linear.Pack(*pool_, found->part, codes.data(), scale);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(tensor + ": " + error.what());
  }
  missing_.erase(tensor);
}

void ModelBuilder::SetEmbedding(const std::uint16_t* table, std::size_t stride) {
  RequireUnspent();
  weights_->embedding = {table, stride};
  missing_.erase("embedding");
}

void ModelBuilder::SetHead(const std::uint16_t* table, std::size_t stride) {
  RequireUnspent();
  weights_->head.Pack(kernels_, *pool_, {table, stride});
  missing_.erase("head");
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
