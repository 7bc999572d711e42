// Every buffer a forward pass writes, allocated once, a shape beside each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "head.h"
#include "kernels/kernels.h"
#include "linear.h"
#include "screening.h"
#include "tercet/aligned_buffer.h"
#include "tercet/config.h"

namespace tercet {

// Tokens of a batch that follow each other in one sequence.
struct Run {
  std::size_t begin;
  std::size_t count;  // at most kMaxQueries
};

// The feed-forward network takes so many tokens at a time: its rows are wide, and more tokens would
// not be computed any faster.
inline constexpr std::size_t kSliceTokens = 128;

// T is the most tokens of one batch, W the threads.
struct Workspace {
  Workspace(const ModelConfig& config, std::size_t max_tokens, std::size_t num_threads,
            std::size_t qkv_stride, std::size_t out_stride, std::size_t gate_up_stride)
      : hidden(max_tokens * config.hidden_size),
        normed(max_tokens * std::max(config.hidden_size, config.q_size())),
        qkv(max_tokens * qkv_stride),
        attended(max_tokens * config.q_size()),
        gate_up(std::min(max_tokens, kSliceTokens) * gate_up_stride),
        branch(max_tokens * out_stride),
        logits(std::min(max_tokens, Head::kMaxRows) * config.vocab_size),
        screening(config.vocab_size, num_threads),
        wide_queries(max_tokens * config.q_size()),
        query_scales(max_tokens * config.num_heads),
        scores_stride(RoundUp(config.max_context, kBlockSize)),
        num_score_rows(std::max(num_threads, config.num_kv_heads) * kMaxQueries * config.group()),
        scores(num_score_rows * scores_stride),
        score_sums(num_score_rows),
        activations(max_tokens,
                    std::max({config.hidden_size, config.q_size(), config.intermediate_size}),
                    config.grid),
        own_normed(config.has_linear_norms
                       ? num_threads * std::max({config.hidden_size, config.q_size(),
                                                 config.intermediate_size})
                       : 0),
        rows(max_tokens),
        chunk_of(max_tokens),
        position_of(max_tokens),
        runs(max_tokens) {}

  std::size_t bytes() const {
    return hidden.bytes() + normed.bytes() + qkv.bytes() + attended.bytes() + gate_up.bytes() +
           branch.bytes() + logits.bytes() + screening.bytes() + wide_queries.bytes() +
           query_scales.bytes() + scores.bytes() + score_sums.bytes() + activations.bytes() +
           own_normed.bytes() + rows.bytes() + chunk_of.bytes() + position_of.bytes() +
           runs.bytes();
  }

  AlignedBuffer<float> hidden;    // [T][hidden_size], the residual stream
  AlignedBuffer<float> normed;    // [T][max(hidden_size, q_size)]
  AlignedBuffer<float> qkv;       // [T][qkv.out_stride], rotated in place
  AlignedBuffer<float> attended;  // [T][q_size]
  AlignedBuffer<float> gate_up;   // [min(T, kSliceTokens)][gate_up.out_stride]
  AlignedBuffer<float> branch;    // [T][out_stride], what a branch adds to `hidden`
  AlignedBuffer<float> logits;    // [min(T, Head::kMaxRows)][vocab_size]
  Screening screening;
  AlignedBuffer<std::int16_t> wide_queries;  // [T][q_size], of int8 keys
  AlignedBuffer<float> query_scales;         // [T][num_heads], the same
  std::size_t scores_stride;                 // max_context in whole blocks
  std::size_t num_score_rows;                // max(W, KV heads) × positions of a run × group
  AlignedBuffer<float> scores;               // [num_score_rows][scores_stride]
  AlignedBuffer<float> score_sums;           // [num_score_rows]
  Activations activations;                   // [T][max(hidden_size, q_size, intermediate_size)]
  AlignedBuffer<float> own_normed;           // [W][widest], one row a thread, if there are such
  AlignedBuffer<const float*> rows;          // [T], what a linear layer reads
  AlignedBuffer<std::int32_t> chunk_of;      // [T]
  AlignedBuffer<std::int32_t> position_of;   // [T]
  AlignedBuffer<Run> runs;                   // [T] at most: the queries that share keys
};

}  // namespace tercet
