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
#include "tercet/tensor_source.h"

namespace tercet {

class Linear;
struct PackedPlane;  // formats/tiles.h
struct PackedTiles;

// Every setter throws std::invalid_argument on a name it does not know or a size that is wrong.
class ModelBuilder {
 public:
  // `kernels`: any set that this machine runs. `head`: "int8", "bf16" or "ternary". `packing`: how
  // ternary weights are kept, a name that the kernels know, or "auto" for the one that a short
  // measurement finds fastest.
  ModelBuilder(ModelConfig config, const BatchLimits& limits, const Kernels& kernels,
               std::string_view head, std::size_t num_threads, std::string_view packing = "auto");
  ~ModelBuilder();

  // What the built model's packed weights will take; for "auto" at most.
  static std::size_t WeightBytes(const ModelConfig& config, std::string_view kernels,
                                 std::string_view head, std::string_view packing);

  // `name`: attention, feed_forward; where the config has them attention_sub, feed_forward_sub,
  // query, key, and input_q and the like for each linear layer; with layer -1: final.
  void SetNorm(int layer, std::string_view name, std::span<const float> weight);

  // `name`: q, k, v, o, gate, up, down. What is read stays the caller's.
  void SetLinear(int layer, std::string_view name, const TensorSource& source);

  // What a linear layer adds to its outputs; those without one add nothing.
  void SetBias(int layer, std::string_view name, std::span<const float> bias);

  // [vocab_size][hidden_size]. Both tables are kept, not copied.
  void SetEmbedding(const TensorSource& table);
  void SetHead(const TensorSource& table);

  // The same out of a converted model's file: all parts of a matrix that are computed together,
  // `name` being qkv, o, gate_up or down, and the head. `in_place`: tiles and planes are kept, not
  // copied, which the packing must allow.
  void SetPacked(int layer, std::string_view name, const PackedTiles& matrix, bool in_place);
  void SetPackedHead(const TensorSource& table, const PackedPlane& plane, bool in_place);
  void SetPackedHead(const TensorSource& table, const PackedTiles& matrix, bool in_place);

  // Throws std::invalid_argument naming the first tensor that is missing. The builder is spent.
  std::unique_ptr<Model> Build();

  const ModelConfig& config() const { return config_; }

 private:
  void RequireUnspent() const;
  void RequireAllOnGrid(const Linear& linear, const std::string& tensor) const;
  template <typename Take>
  void TakeHead(const TensorSource& table, const Take& take);
  void CheckTable(std::string_view name, const TensorSource& table) const;

  ModelConfig config_;
  BatchLimits limits_;
  const Kernels& kernels_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Weights> weights_;
  std::set<std::string> missing_;
};

}  // namespace tercet
