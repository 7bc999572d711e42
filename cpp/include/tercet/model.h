// A decoder over packed ternary weights: grouped-query attention and a gated feed-forward network,
// with what families of models differ by (config.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tercet/batch.h"
#include "tercet/config.h"
#include "tercet/head_stats.h"
#include "tercet/kv_cache.h"
#include "tercet/sampler.h"
#include "tercet/thread_pool.h"

namespace tercet {

struct AttentionTask;
struct Kernels;
struct LayerWeights;
class Linear;
struct Run;
struct Weights;
struct Workspace;

// The bounds of one forward pass. Its buffers are allocated for them when a model is built.
struct BatchLimits {
  std::size_t max_tokens = 0;
  std::size_t max_chunks = 0;
};

// One thread calls at a time. `Forward` allocates nothing, `Sample` only its answer and what
// cutting off unlikely tokens and naming likely ones needs. No output depends on what else is in
// the batch, how it is cut into chunks, or the number of threads.
class Model {
 public:
  Model(ModelConfig config, const BatchLimits& limits, const Kernels& kernels,
        std::unique_ptr<ThreadPool> pool, std::unique_ptr<Weights> weights);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Computes the keys and values of every token of the batch, and the last hidden states of its
  // outputs, which may be all of them.
  // Throws std::invalid_argument, before anything is written, if the batch does not fit the limits,
  // the context or the cache.
  void Forward(const Batch& batch, KVCache& cache);

  // Draws, or scores, one token per output of the last Forward; may be called again. Throws
  // std::invalid_argument, before anything is drawn, if the parameters are not one per output.
  Samples Sample(const SamplingBatch& batch);

  // The logits of the last Forward's outputs, out[num_outputs][vocab_size].
  void Logits(float* out);

  // The states of any tokens of the last Forward after the final norm, out[tokens][hidden_size].
  // Throws std::invalid_argument if a token is not of that batch.
  void Hidden(std::span<const std::int32_t> tokens, float* out);
  HeadStats head_stats() const;
  std::size_t num_outputs() const { return num_outputs_; }

  // One linear as Forward computes it, for tests: out[n][rows] from x[n][cols]. `name` is q, k, v,
  // o, gate, up or down. Throws std::invalid_argument on a wrong layer, name or size.
  struct LinearShape {
    std::size_t rows;
    std::size_t cols;
  };
  LinearShape ShapeOf(const std::string& name) const;
  void ApplyLinear(std::size_t layer, const std::string& name, const float* x,
                   std::size_t num_tokens, float* out);

  const ModelConfig& config() const { return config_; }
  const Kernels& kernels() const { return kernels_; }
  const char* packing() const;  // the name of how ternary weights are kept
  std::size_t num_threads() const { return pool_->num_threads(); }
  std::size_t weight_bytes() const;
  std::size_t num_outliers() const;  // weights of the layers that are on no grid
  std::size_t decode_bytes() const;
  std::size_t workspace_bytes() const;

 private:
  void CheckBatch(const Batch& batch, const KVCache& cache) const;
  void Place(const Batch& batch);
  void Embed(const Batch& batch);
  void Attention(const LayerWeights& layer, const Batch& batch, KVCache& cache, std::size_t index);
  void FeedForward(const LayerWeights& layer);
  void FeedForward(const LayerWeights& layer, std::size_t begin, std::size_t num_tokens);
  void KeepOutputs(const Batch& batch);
  template <typename Body>
  void ForSlices(std::span<const std::size_t> rows, const Body& body);

  const float* Normed(const float* x, std::size_t cols, const std::vector<float>& weight,
                      std::size_t token);
  template <typename Row>
  void Project(const Linear& linear, std::size_t num_tokens, const Row& row, float* out);
  void ProjectPart(const Linear& linear, std::size_t part, std::size_t num_tokens, float* out);
  void RotateAndStore(const LayerWeights& layer, const Batch& batch, KVCache& cache,
                      std::size_t index);
  void Attend(const LayerWeights& layer, const Batch& batch, KVCache& cache, std::size_t index);
  void AddBranch();
  AttentionTask TaskOf(const LayerWeights& layer, const Batch& batch, const KVCache& cache,
                       std::size_t index, const Run& run, std::size_t kv_head,
                       std::size_t score_row) const;
  std::size_t CutIntoRuns(const Batch& batch, std::size_t longest);

  ModelConfig config_;
  BatchLimits limits_;
  const Kernels& kernels_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Weights> weights_;
  std::unique_ptr<Workspace> ws_;
  std::size_t num_tokens_ = 0;   // of the batch being computed
  std::size_t num_outputs_ = 0;  // of the last batch
};

}  // namespace tercet
