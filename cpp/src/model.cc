#include "tercet/model.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "formats/numbers.h"
#include "weights.h"
#include "workspace.h"

namespace tercet {
namespace {

const LinearName& FindLinear(const std::string& name) {
  for (const LinearName& candidate : kLinearNames) {
    if (candidate.name == name) {
      return candidate;
    }
  }
  throw std::invalid_argument("no linear is called '" + name + "'");
}

}  // namespace

Model::Model(ModelConfig config, const BatchLimits& limits, const Kernels& kernels,
             std::unique_ptr<ThreadPool> pool, std::unique_ptr<Weights> weights)
    : config_(std::move(config)),
      limits_(limits),
      kernels_(kernels),
      pool_(std::move(pool)),
      weights_(std::move(weights)),
      ws_(std::make_unique<Workspace>(
          config_, limits_.max_tokens, pool_->num_threads(), weights_->layers[0].qkv.out_stride(),
          weights_->layers[0].o.out_stride(), weights_->layers[0].gate_up.out_stride())) {}

Model::~Model() = default;

void Model::Forward(const Batch& batch, KVCache& cache) {
  CheckBatch(batch, cache);
  Place(batch);
  Embed(batch);
  for (std::size_t index = 0; index < config_.num_layers; ++index) {
    const LayerWeights& layer = weights_->layers[index];
    Attention(layer, batch, cache, index);
    FeedForward(layer);
  }
  KeepOutputs(batch);
}

// hidden += o(sub_norm(attention(q, k, v))), all three from norm(hidden).
void Model::Attention(const LayerWeights& layer, const Batch& batch, KVCache& cache,
                      std::size_t index) {
  const std::size_t hidden_size = config_.hidden_size;
  const std::size_t q_size = config_.q_size();
  Project(
      layer.qkv, num_tokens_,
      [&](std::size_t token) {
        return Normed(&ws_->hidden[token * hidden_size], hidden_size, layer.attention_norm, token);
      },
      ws_->qkv.data());
  RotateAndStore(layer, batch, cache, index);
  Attend(layer, batch, cache, index);
  Project(
      layer.o, num_tokens_,
      [&](std::size_t token) {
        return Normed(&ws_->attended[token * q_size], q_size, layer.attention_sub_norm, token);
      },
      ws_->branch.data());
  AddBranch();
}

// hidden += down(sub_norm(activation(gate) * up)), gate and up from norm(hidden).
void Model::FeedForward(const LayerWeights& layer) {
  for (std::size_t begin = 0; begin < num_tokens_; begin += kSliceTokens) {
    FeedForward(layer, begin, std::min(kSliceTokens, num_tokens_ - begin));
  }
  AddBranch();
}

void Model::FeedForward(const LayerWeights& layer, std::size_t begin, std::size_t num_tokens) {
  const std::size_t hidden_size = config_.hidden_size;
  Project(
      layer.gate_up, num_tokens,
      [&](std::size_t token) {
        return Normed(&ws_->hidden[(begin + token) * hidden_size], hidden_size,
                      layer.feed_forward_norm, token);
      },
      ws_->gate_up.data());
  const std::size_t size = config_.intermediate_size;
  const auto activate =
      config_.activation == Activation::kRelu2 ? kernels_.relu2_mul : kernels_.silu_mul;
  Project(
      layer.down, num_tokens,
      [&](std::size_t token) {
        float* gate = &ws_->gate_up[token * layer.gate_up.out_stride()];
        activate(gate, gate + layer.gate_up.part_offset(1), size);
        if (config_.has_sub_norms) {
          kernels_.rms_norm(gate, layer.feed_forward_sub_norm.data(), size, config_.rms_norm_eps,
                            gate);
        }
        return static_cast<const float*>(gate);
      },
      &ws_->branch[begin * layer.down.out_stride()]);
}

// out = linear(rows), where row(token) computes a token's input, [cols], and says where it is.
template <typename Row>
void Model::Project(const Linear& linear, std::size_t num_tokens, const Row& row, float* out) {
  const std::size_t cols = linear.cols();
  if (!config_.has_linear_norms) {
    pool_->ForEach(num_tokens, cols, [&](std::size_t token, std::size_t) {
      ws_->activations.Quantize(kernels_, token, row(token), cols);
    });
    linear.Multiply(kernels_, *pool_, ws_->activations, num_tokens, out);
    return;
  }
  pool_->ForEach(num_tokens, cols,
                 [&](std::size_t token, std::size_t) { ws_->rows[token] = row(token); });
  for (std::size_t part = 0; part < linear.num_parts(); ++part) {
    ProjectPart(linear, part, num_tokens, out);
  }
  linear.AddBias(kernels_, *pool_, num_tokens, out);
}

// Each part has a norm of its own, so they share an input but not its quantisation.
void Model::ProjectPart(const Linear& linear, std::size_t part, std::size_t num_tokens,
                        float* out) {
  const std::size_t cols = linear.cols();
  pool_->ForEach(num_tokens, cols, [&](std::size_t token, std::size_t worker) {
    float* normed = &ws_->own_normed[worker * (ws_->own_normed.size() / pool_->num_threads())];
    kernels_.rms_norm(ws_->rows[token], linear.norm(part).data(), cols, config_.linear_norm_eps,
                      normed);
    ws_->activations.Quantize(kernels_, token, normed, cols);
  });
  linear.MultiplyPart(*pool_, part, ws_->activations, num_tokens, out);
}

void Model::Embed(const Batch& batch) {
  const std::size_t size = config_.hidden_size;
  pool_->ForEach(num_tokens_, size, [&](std::size_t token, std::size_t) {
    float* hidden = &ws_->hidden[token * size];
    ReadNumbers(weights_->embedding, static_cast<std::size_t>(batch.token_ids[token]), hidden);
    if (config_.embedding_scale != 1.0F) {
      for (std::size_t i = 0; i < size; ++i) {
        hidden[i] *= config_.embedding_scale;
      }
    }
  });
}

// A row after its norm, or the row itself where the model has none there.
const float* Model::Normed(const float* x, std::size_t cols, const std::vector<float>& weight,
                           std::size_t token) {
  if (weight.empty()) {
    return x;
  }
  float* normed = &ws_->normed[token * cols];
  kernels_.rms_norm(x, weight.data(), cols, config_.rms_norm_eps, normed);
  return normed;
}

void Model::AddBranch() {
  const std::size_t stride = weights_->layers[0].o.out_stride();
  pool_->ForEach(num_tokens_, config_.hidden_size, [&](std::size_t token, std::size_t) {
    kernels_.add(&ws_->hidden[token * config_.hidden_size], &ws_->branch[token * stride],
                 config_.hidden_size);
  });
}

void Model::RotateAndStore(const LayerWeights& layer, const Batch& batch, KVCache& cache,
                           std::size_t index) {
  const std::size_t head_dim = config_.head_dim;
  pool_->ForEach(num_tokens_, layer.qkv.out_stride(), [&](std::size_t token, std::size_t) {
    const auto position = static_cast<std::size_t>(ws_->position_of[token]);
    const float* cos = &weights_->rope_cos[position * head_dim / 2];
    const float* sin = &weights_->rope_sin[position * head_dim / 2];
    float* q = &ws_->qkv[token * layer.qkv.out_stride()];
    float* k = q + layer.qkv.part_offset(1);
    const float* v = q + layer.qkv.part_offset(2);
    for (std::size_t head = 0; head < config_.num_heads; ++head) {
      if (config_.has_head_norms) {
        kernels_.rms_norm(q + head * head_dim, layer.query_norm.data(), head_dim,
                          config_.rms_norm_eps, q + head * head_dim);
      }
      kernels_.rope(q + head * head_dim, cos, sin, head_dim);
      if (cache.kind() == KvKind::kInt8) {
        kernels_.attention.quantize_query(
            q + head * head_dim, head_dim,
            &ws_->wide_queries[token * config_.q_size() + head * head_dim],
            &ws_->query_scales[token * config_.num_heads + head]);
      }
    }
    const auto chunk = static_cast<std::size_t>(ws_->chunk_of[token]);
    const auto block = static_cast<std::size_t>(batch.block_table(chunk)[position / kBlockSize]);
    for (std::size_t head = 0; head < config_.num_kv_heads; ++head) {
      if (config_.has_head_norms) {
        kernels_.rms_norm(k + head * head_dim, layer.key_norm.data(), head_dim,
                          config_.rms_norm_eps, k + head * head_dim);
      }
      kernels_.rope(k + head * head_dim, cos, sin, head_dim);
      cache.Store(kernels_, index, block, head, position % kBlockSize, k + head * head_dim,
                  v + head * head_dim);
    }
  });
}

void Model::KeepOutputs(const Batch& batch) {
  num_outputs_ = batch.outputs.size();
  const std::size_t size = config_.hidden_size;
  pool_->Run(num_outputs_, [&](std::size_t i, std::size_t) {
    const auto token = static_cast<std::size_t>(batch.outputs[i]);
    kernels_.rms_norm(&ws_->hidden[token * size], weights_->final_norm.data(), size,
                      config_.rms_norm_eps, &ws_->normed[i * size]);
  });
}

// Rows that a screen can answer, then those that need all logits, and those the screen left over.
Samples Model::Sample(const SamplingBatch& batch) {
  CheckSampling(batch, num_outputs_, config_.vocab_size);
  Samples samples(batch);
  Head& head = weights_->head;
  float* logits = ws_->logits.data();
  std::vector<std::size_t> screened;
  std::vector<std::size_t> full;
  for (std::size_t row = 0; row < num_outputs_; ++row) {
    const bool can_screen = head.can_screen() && Screening::CanDraw(batch, row, config_.vocab_size);
    (can_screen ? screened : full).push_back(row);
  }
  ForSlices(screened, [&](std::span<const std::size_t> rows) {
    auto* sums = reinterpret_cast<std::int32_t*>(logits);  // as wide as logits, and never both
    head.Screen(kernels_, *pool_, ws_->normed.data(), rows, sums);
    ws_->screening.Draw(kernels_, *pool_, head, batch, rows, sums, samples, full);
  });
  ForSlices(full, [&](std::span<const std::size_t> rows) {
    head.Multiply(kernels_, *pool_, ws_->normed.data(), rows, logits);
    tercet::Sample(kernels_, *pool_, logits, config_.vocab_size, batch, rows, samples);
  });
  ws_->screening.stats().full += full.size();
  return samples;
}

void Model::Logits(float* out) {
  std::vector<std::size_t> all(num_outputs_);
  std::iota(all.begin(), all.end(), 0);
  ForSlices(all, [&](std::span<const std::size_t> rows) {
    weights_->head.Multiply(kernels_, *pool_, ws_->normed.data(), rows,
                            out + rows.front() * config_.vocab_size);
  });
}

void Model::Hidden(std::span<const std::int32_t> tokens, float* out) {
  const std::size_t size = config_.hidden_size;
  for (const std::int32_t token : tokens) {
    if (token < 0 || static_cast<std::size_t>(token) >= num_tokens_) {
      throw std::invalid_argument("hidden state of token " + std::to_string(token) + " of " +
                                  std::to_string(num_tokens_));
    }
  }
  pool_->ForEach(tokens.size(), size, [&](std::size_t i, std::size_t) {
    kernels_.rms_norm(&ws_->hidden[static_cast<std::size_t>(tokens[i]) * size],
                      weights_->final_norm.data(), size, config_.rms_norm_eps, out + i * size);
  });
}

HeadStats Model::head_stats() const { return ws_->screening.stats(); }

// Calls body(some of the rows) until all have had their turn: as many as have room for their
// logits.
template <typename Body>
void Model::ForSlices(std::span<const std::size_t> rows, const Body& body) {
  while (!rows.empty()) {
    const std::size_t count = std::min(Head::kMaxRows, rows.size());
    body(rows.first(count));
    rows = rows.subspan(count);
  }
}

// Where each token stands, written out so that per-token tasks need no search.
void Model::Place(const Batch& batch) {
  num_tokens_ = batch.num_tokens();
  for (std::size_t chunk = 0; chunk < batch.num_chunks(); ++chunk) {
    const auto begin = static_cast<std::size_t>(batch.chunk_starts[chunk]);
    const auto end = static_cast<std::size_t>(batch.chunk_starts[chunk + 1]);
    for (std::size_t token = begin; token < end; ++token) {
      ws_->chunk_of[token] = static_cast<std::int32_t>(chunk);
      ws_->position_of[token] = batch.positions[chunk] + static_cast<std::int32_t>(token - begin);
    }
  }
}

Model::LinearShape Model::ShapeOf(const std::string& name) const {
  const LinearName& found = FindLinear(name);
  const Linear& linear = weights_->layers[0].*found.linear;
  return {linear.part_rows(found.part), linear.cols()};
}

void Model::ApplyLinear(std::size_t layer, const std::string& name, const float* x,
                        std::size_t num_tokens, float* out) {
  if (layer >= config_.num_layers) {
    throw std::invalid_argument("layer " + std::to_string(layer) + " of " +
                                std::to_string(config_.num_layers));
  }
  const LinearName& found = FindLinear(name);
  const Linear& linear = weights_->layers[layer].*found.linear;
  const std::size_t rows = linear.part_rows(found.part);
  Activations activations(num_tokens, linear.cols(), config_.grid);
  AlignedBuffer<float> all(num_tokens * linear.out_stride());
  std::vector<float> row(linear.cols());
  for (std::size_t token = 0; token < num_tokens; ++token) {
    std::copy_n(x + token * linear.cols(), linear.cols(), row.begin());
    if (config_.has_linear_norms) {
      kernels_.rms_norm(row.data(), linear.norm(found.part).data(), row.size(),
                        config_.linear_norm_eps, row.data());
    }
    activations.Quantize(kernels_, token, row.data(), linear.cols());
  }
  linear.Multiply(kernels_, *pool_, activations, num_tokens, all.data());
  for (std::size_t token = 0; token < num_tokens; ++token) {
    const float* part = &all[token * linear.out_stride() + linear.part_offset(found.part)];
    std::copy_n(part, rows, out + token * rows);
  }
}

const char* Model::packing() const { return weights_->layers[0].qkv.packing().name(); }

std::size_t Model::weight_bytes() const {
  std::size_t bytes = weights_->head.bytes();
  for (const LayerWeights& layer : weights_->layers) {
    bytes += layer.bytes();
  }
  return bytes;
}

std::size_t Model::num_outliers() const {
  std::size_t count = 0;
  for (const LayerWeights& layer : weights_->layers) {
    count += layer.num_outliers();
  }
  return count;
}

std::size_t Model::decode_bytes() const {
  return weight_bytes() - weights_->head.bytes() + weights_->head.decode_bytes();
}

std::size_t Model::workspace_bytes() const {
  return ws_->bytes() + weights_->head.workspace_bytes() + weights_->rope_cos.bytes() +
         weights_->rope_sin.bytes();
}

}  // namespace tercet
