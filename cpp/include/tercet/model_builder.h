// How a model comes to be: tensor by tensor, each packed when it arrives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "tercet/model.h"

namespace tercet {

// Every setter throws std::invalid_argument on a name it does not know or a size that is wrong.
class ModelBuilder {
 public:
  // `kernels`: any set that this machine runs. `head`: "int8" or "bf16". `packing`: how ternary
  // weights are kept, a name that the kernels know, or "auto" for the one that a short measurement
  // finds fastest.
  ModelBuilder(const ModelConfig& config, const BatchLimits& limits, const Kernels& kernels,
               std::string_view head, std::size_t num_threads, std::string_view packing = "auto");
  ~ModelBuilder();

  // What the built model's packed weights will take; for "auto" at most.
  static std::size_t WeightBytes(const ModelConfig& config, std::string_view kernels,
                                 std::string_view head, std::string_view packing);

  // `name`: attention, attention_sub, feed_forward, feed_forward_sub; with layer -1: final.
  void SetNorm(int layer, std::string_view name, std::span<const float> weight);

  // `name`: q, k, v, o, gate, up, down. See Linear::Pack for `codes`.
  void SetLinear(int layer, std::string_view name, std::span<const std::uint8_t> codes,
                 float scale);

  // bfloat16 [vocab_size][hidden_size], rows `stride` elements apart. The embedding is kept, not
  // copied.
  void SetEmbedding(const std::uint16_t* table, std::size_t stride);
  void SetHead(const std::uint16_t* table, std::size_t stride);

  // Throws std::invalid_argument naming the first tensor that is missing. The builder is spent.
  std::unique_ptr<Model> Build();

  const ModelConfig& config() const { return config_; }

 private:
  void RequireUnspent() const;

  ModelConfig config_;
  BatchLimits limits_;
  const Kernels& kernels_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Weights> weights_;
  std::set<std::string> missing_;
};

}  // namespace tercet
