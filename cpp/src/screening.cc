#include "screening.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "changed_tokens.h"
#include "kernels/reference_math.h"
#include "logit_changes.h"
#include "token_mask.h"

namespace tercet {
namespace {

// Tokens that one task screens, and how many it may keep.
constexpr std::size_t kChunk = 8192;
constexpr std::size_t kKept = kChunk / 2;

// If more than this share of a row's tokens must be finished, the full pass takes no longer.
constexpr std::size_t kFinishedShare = 32;

struct Bounds {
  float lower;
  float upper;
};

// The kernels' formula, before temperature and noise.
Bounds BoundsOf(const Screen& screen, std::size_t token, std::int32_t sum) {
  const std::uint32_t centred =
      16 * static_cast<std::uint32_t>(sum) + static_cast<std::uint32_t>(screen.offset);
  const float middle = (static_cast<float>(static_cast<std::int32_t>(centred)) + screen.lift) *
                       (screen.scale * screen.scales[token]);
  const float margin = screen.reach * screen.margins[token];
  return {middle - margin, middle + margin};
}

float ScoreOf(const Screen& screen, std::size_t token, float logit) {
  const float score = logit * screen.inverse_temperature;
  return screen.key == nullptr ? score : score + Gumbel(*screen.key, token);
}

// A sum that puts a token below all others, so that the kernels pass over it.
std::int32_t LowestSum(const Screen& screen) {
  const std::uint32_t lowest = 0x80000010U - static_cast<std::uint32_t>(screen.offset);
  return static_cast<std::int32_t>(lowest) >> 4;
}

// The largest score so far, of equals the lowest token's.
struct Best {
  float score = -std::numeric_limits<float>::infinity();
  std::size_t token = 0;

  void Offer(float other_score, std::size_t other) {
    if (other_score > score || (other_score == score && other < token)) {
      score = other_score;
      token = other;
    }
  }
};

}  // namespace

struct Screening::Row {
  Screen screen;
  DrawKey key;
  ChangedTokens changed;
  std::vector<std::int32_t> changed_sums;
  std::span<const std::uint32_t> mask;  // empty: every token is allowed
  std::int32_t* sums = nullptr;
  bool is_decided = false;
  std::size_t token = 0;
  std::size_t num_finished = 0;

  bool Allows(std::size_t other) const { return tercet::Allows(mask, other); }
  // Puts the tokens of [begin, end) that the mask forbids below all others; begin is a multiple
  // of 32.
  void Forbid(std::size_t begin, std::size_t end) const {
    const std::int32_t lowest = LowestSum(screen);
    for (std::size_t word = begin / 32; word * 32 < end && !mask.empty(); ++word) {
      const std::size_t first = word * 32;
      const std::size_t count = std::min<std::size_t>(32, end - first);
      for (std::size_t bit = 0; bit < count && mask[word] != ~std::uint32_t{0}; ++bit) {
        sums[first + bit] = ((mask[word] >> bit) & 1) != 0 ? sums[first + bit] : lowest;
      }
    }
  }
};

struct Screening::Candidate {
  float upper;
  std::uint32_t token;

  bool operator<(const Candidate& other) const { return upper < other.upper; }
};

Screening::Screening(std::size_t vocab_size, std::size_t num_threads)
    : vocab_size_(vocab_size),
      num_chunks_((vocab_size + kChunk - 1) / kChunk),
      scratch_tokens_(num_threads * kChunk),
      scratch_uppers_(num_threads * kChunk),
      tokens_(Head::kMaxRows * num_chunks_ * kKept),
      uppers_(Head::kMaxRows * num_chunks_ * kKept),
      counts_(Head::kMaxRows * num_chunks_),
      bars_(Head::kMaxRows * num_chunks_) {}

bool Screening::CanDraw(const SamplingBatch& batch, std::size_t row, std::size_t vocab_size) {
  if (batch.targets[row] >= 0 || batch.num_logprobs[row] >= 0) {
    return false;
  }
  const auto top_k = static_cast<std::size_t>(batch.top_k[row]);
  return IsGreedy(batch, row) ||
         ((top_k == 0 || top_k >= vocab_size) && batch.top_p[row] >= 1 && batch.min_p[row] <= 0);
}

void Screening::Draw(const Kernels& kernels, ThreadPool& pool, Head& head,
                     const SamplingBatch& batch, std::span<const std::size_t> rows,
                     std::int32_t* sums, Samples& out, std::vector<std::size_t>& left) {
  std::vector<Row> states(rows.size());
  pool.Run(rows.size(), [&](std::size_t i, std::size_t) {
    Row& row = states[i];
    std::int32_t* row_sums = sums + i * vocab_size_;
    row.sums = row_sums;
    row.screen = head.ScreenOf(i, row_sums);
    row.mask = MaskOf(batch, rows[i], vocab_size_);
    if (!IsGreedy(batch, rows[i])) {
      row.key = KeyOf(batch, rows[i]);
      row.screen.key = &row.key;
      row.screen.inverse_temperature = 1.0F / batch.temperature[rows[i]];
    }
    row.changed = ChangedTokens(batch, rows[i]);
    row.changed_sums.resize(row.changed.size());
    for (std::size_t c = 0; c < row.changed.size(); ++c) {
      row.changed_sums[c] = row_sums[row.changed[c]];
      row_sums[row.changed[c]] = LowestSum(row.screen);
    }
  });
  pool.Run(rows.size() * num_chunks_, [&](std::size_t task, std::size_t worker) {
    const std::size_t i = task / num_chunks_;
    ScreenChunk(kernels, states[i], i, task % num_chunks_, worker);
  });
  pool.Run(rows.size(), [&](std::size_t i, std::size_t) { Decide(kernels, head, i, states[i]); });
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (states[i].is_decided) {
      out.tokens[rows[i]] = static_cast<std::int32_t>(states[i].token);
      ++stats_.screened;
    } else {
      left.push_back(rows[i]);
      ++stats_.undecided;
    }
    stats_.finished += states[i].num_finished;
  }
}

void Screening::ScreenChunk(const Kernels& kernels, const Row& row, std::size_t i,
                            std::size_t chunk, std::size_t worker) {
  row.Forbid(chunk * kChunk, std::min(vocab_size_, (chunk + 1) * kChunk));
  Screen screen = row.screen;
  screen.begin = chunk * kChunk;
  screen.end = std::min(vocab_size_, screen.begin + kChunk);
  std::uint32_t* tokens = &scratch_tokens_[worker * kChunk];
  float* uppers = &scratch_uppers_[worker * kChunk];
  const std::size_t place = i * num_chunks_ + chunk;
  counts_[place] = kernels.screen(&screen, tokens, uppers, &bars_[place]);
  const std::size_t kept = std::min(counts_[place], kKept);
  std::copy_n(tokens, kept, &tokens_[place * kKept]);
  std::copy_n(uppers, kept, &uppers_[place * kKept]);
}

// The row's unchanged tokens that can still win; false if a chunk kept too many.
bool Screening::Gather(std::size_t i, float bar, const Row& row,
                       std::vector<Candidate>& candidates) const {
  for (std::size_t chunk = 0; chunk < num_chunks_; ++chunk) {
    const std::size_t place = i * num_chunks_ + chunk;
    if (counts_[place] > kKept) {
      return false;
    }
    for (std::size_t c = place * kKept; c < place * kKept + counts_[place]; ++c) {
      if (uppers_[c] >= bar && !row.changed.Contains(tokens_[c]) && row.Allows(tokens_[c])) {
        candidates.push_back({uppers_[c], tokens_[c]});
      }
    }
  }
  return true;
}

void Screening::Decide(const Kernels& kernels, Head& head, std::size_t i, Row& row) {
  const Screen& screen = row.screen;
  const std::size_t num_changed = row.changed.size();
  std::vector<float> lowers(num_changed);
  std::vector<float> uppers(num_changed);
  for (std::size_t c = 0; c < num_changed; ++c) {
    const Bounds bounds = BoundsOf(screen, row.changed[c], row.changed_sums[c]);
    lowers[c] = bounds.lower;
    uppers[c] = bounds.upper;
  }
  row.changed.Change(lowers);
  row.changed.Change(uppers);
  const auto first_bar = bars_.begin() + static_cast<std::ptrdiff_t>(i * num_chunks_);
  float bar = *std::max_element(first_bar, first_bar + static_cast<std::ptrdiff_t>(num_chunks_));
  for (std::size_t c = 0; c < num_changed; ++c) {
    if (row.Allows(row.changed[c])) {
      bar = std::max(bar, ScoreOf(screen, row.changed[c], lowers[c]));
    }
  }
  std::vector<Candidate> candidates;
  if (!std::isfinite(bar) || !std::isfinite(screen.reach) || !Gather(i, bar, row, candidates)) {
    return;
  }
  Best best;
  std::vector<float> exact(num_changed);
  std::vector<bool> is_candidate(num_changed);
  for (std::size_t c = 0; c < num_changed; ++c) {
    is_candidate[c] =
        row.Allows(row.changed[c]) && ScoreOf(screen, row.changed[c], uppers[c]) >= bar;
    if (is_candidate[c]) {
      exact[c] = head.Finish(kernels, i, row.changed[c]);
      ++row.num_finished;
    }
  }
  row.changed.Change(exact);
  for (std::size_t c = 0; c < num_changed; ++c) {
    if (is_candidate[c]) {
      best.Offer(ScoreOf(screen, row.changed[c], exact[c]), row.changed[c]);
    }
  }
  std::make_heap(candidates.begin(), candidates.end());
  const std::size_t most_finished = std::max<std::size_t>(64, vocab_size_ / kFinishedShare);
  while (!candidates.empty() && candidates.front().upper >= best.score &&
         row.num_finished <= most_finished) {
    const std::size_t token = candidates.front().token;
    const float logit = head.Finish(kernels, i, token);
    best.Offer(ScoreOf(screen, token, logit), token);
    ++row.num_finished;
    std::pop_heap(candidates.begin(), candidates.end());
    candidates.pop_back();
  }
  row.token = best.token;
  // A score under the bar is no proof: what was put below all others may have set it.
  row.is_decided =
      std::isfinite(best.score) && best.score >= bar && row.num_finished <= most_finished;
}

}  // namespace tercet
