// Attention's work, cut so that threads have equal shares of it and keys are read few times.
// However it is cut, a row's numbers are computed in the same order.
#include <algorithm>
#include <cmath>

#include "tercet/model.h"
#include "weights.h"
#include "workspace.h"

namespace tercet {
namespace {

// From so many keys on, cutting a head's work over all threads saves more than two more rounds
// cost.
constexpr std::size_t kLongContext = 256;

// Work of a weight, in multiply-adds.
constexpr std::size_t kExpCost = 4;

// Tasks per thread from which on the last ones to be claimed leave little unevenness.
constexpr std::size_t kTasksPerThread = 4;

KvType TypeOf(KvKind kind) {
  switch (kind) {
    case KvKind::kBf16:
      return kKvBf16;
    case KvKind::kInt8:
      return kKvInt8;
    case KvKind::kFloat32:
      break;
  }
  return kKvFloat32;
}

std::size_t NumBlocks(const AttentionTask& task) {
  return RoundUp(task.num_keys + task.num_queries - 1, kBlockSize) / kBlockSize;
}

// Where slice i of `slices` of n units begins.
std::size_t SliceBegin(std::size_t n, std::size_t i, std::size_t slices) { return n * i / slices; }

}  // namespace

// Positions of a chunk, `longest` at a time. Returns how many runs there are.
std::size_t Model::CutIntoRuns(const Batch& batch, std::size_t longest) {
  std::size_t num_runs = 0;
  for (std::size_t chunk = 0; chunk < batch.num_chunks(); ++chunk) {
    const auto end = static_cast<std::size_t>(batch.chunk_starts[chunk + 1]);
    for (auto begin = static_cast<std::size_t>(batch.chunk_starts[chunk]); begin < end;) {
      const std::size_t count = std::min(longest, end - begin);
      ws_->runs[num_runs++] = {.begin = begin, .count = count};
      begin += count;
    }
  }
  return num_runs;
}

AttentionTask Model::TaskOf(const LayerWeights& layer, const Batch& batch, const KVCache& cache,
                            std::size_t index, const Run& run, std::size_t kv_head,
                            std::size_t score_row) const {
  const std::size_t head_dim = config_.head_dim;
  const std::size_t first_head = kv_head * config_.group();
  const std::size_t place = run.begin * config_.q_size() + first_head * head_dim;
  return {
      .queries = &ws_->qkv[run.begin * layer.qkv.out_stride() + first_head * head_dim],
      .wide_queries = &ws_->wide_queries[place],
      .query_scales = &ws_->query_scales[run.begin * config_.num_heads + first_head],
      .num_queries = run.count,
      .query_stride = layer.qkv.out_stride(),
      .wide_stride = config_.q_size(),
      .query_scale_stride = config_.num_heads,
      .group = config_.group(),
      .head_dim = head_dim,
      .cache = cache.layer(index),
      .block_table = batch.block_table(static_cast<std::size_t>(ws_->chunk_of[run.begin])),
      .block_stride = cache.block_stride(),
      .key_offset = cache.key_offset(kv_head),
      .value_offset = cache.value_offset(kv_head),
      .num_keys = static_cast<std::size_t>(ws_->position_of[run.begin]) + 1,
      .scale = 1.0F / std::sqrt(static_cast<float>(head_dim)),
      .scores = &ws_->scores[score_row * ws_->scores_stride],
      .scores_stride = ws_->scores_stride,
      .sums = &ws_->score_sums[score_row],
      .out = &ws_->attended[place],
      .out_stride = config_.q_size(),
      .kv_type = TypeOf(cache.kind()),
  };
}

// A run of positions and a KV head is one task, computed from end to end by one thread. If these
// are few and their keys many, as for a single stream, each is cut into as many slices as there are
// threads: scores by blocks of keys, weights by rows, values by dimensions.
void Model::Attend(const LayerWeights& layer, const Batch& batch, KVCache& cache,
                   std::size_t index) {
  const std::size_t num_kv_heads = config_.num_kv_heads;
  const std::size_t num_threads = pool_->num_threads();
  const std::size_t rows_per_run = kMaxQueries * config_.group();
  const auto last =
      *std::max_element(ws_->position_of.data(), ws_->position_of.data() + num_tokens_);
  const std::size_t num_keys = static_cast<std::size_t>(last) + 1;

  std::size_t num_runs = CutIntoRuns(batch, kMaxQueries);
  if (num_keys >= kLongContext && num_threads > 1 &&
      num_runs * num_kv_heads < kTasksPerThread * num_threads &&
      num_runs * num_kv_heads * rows_per_run <= ws_->num_score_rows) {
    const AttentionKernels& attention = kernels_.attention;
    const auto task_of = [&](std::size_t unit) {
      return TaskOf(layer, batch, cache, index, ws_->runs[unit / num_kv_heads], unit % num_kv_heads,
                    unit * rows_per_run);
    };
    const std::size_t num_units = num_runs * num_kv_heads;
    pool_->Run(num_units * num_threads, [&](std::size_t i, std::size_t) {
      const AttentionTask task = task_of(i / num_threads);
      const std::size_t slice = i % num_threads;
      attention.scores(&task, SliceBegin(NumBlocks(task), slice, num_threads),
                       SliceBegin(NumBlocks(task), slice + 1, num_threads));
    });
    const std::size_t most_rows = std::min(num_tokens_, kMaxQueries) * config_.group();
    pool_->ForEach(num_units * most_rows, kExpCost * num_keys, [&](std::size_t i, std::size_t) {
      const AttentionTask task = task_of(i / most_rows);
      const std::size_t row = i % most_rows;
      if (row < task.num_queries * task.group) {
        attention.weights(&task, row, row + 1);
      }
    });
    const std::size_t num_vectors = config_.head_dim / 16;
    const std::size_t slices = std::min(num_threads, num_vectors);
    pool_->Run(num_units * slices, [&](std::size_t i, std::size_t) {
      const AttentionTask task = task_of(i / slices);
      attention.values(&task, SliceBegin(num_vectors, i % slices, slices) * 16,
                       SliceBegin(num_vectors, i % slices + 1, slices) * 16);
    });
    return;
  }

  // Runs are as long as leaves every thread enough of them.
  const std::size_t fair = num_tokens_ * num_kv_heads / (kTasksPerThread * num_threads);
  const std::size_t longest = std::clamp<std::size_t>(fair, 1, kMaxQueries);
  num_runs = CutIntoRuns(batch, longest);
  const std::size_t cost = num_keys * longest * config_.group() * config_.head_dim;
  pool_->ForEach(num_runs * num_kv_heads, cost, [&](std::size_t i, std::size_t worker) {
    const AttentionTask task = TaskOf(layer, batch, cache, index, ws_->runs[i % num_runs],
                                      i / num_runs, worker * rows_per_run);
    kernels_.attention.scores(&task, 0, NumBlocks(task));
    kernels_.attention.weights(&task, 0, task.num_queries * task.group);
    kernels_.attention.values(&task, 0, task.head_dim);
  });
}

}  // namespace tercet
