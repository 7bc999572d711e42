#include "head.h"

#include <algorithm>
#include <cmath>

namespace tercet {
namespace {

// 512 rows a task: up to a megabyte of weights, some hundred tasks for a large vocabulary.
constexpr std::size_t kTilesPerTask = 16;

// Standard deviations of what a row's low nibbles add that a screen allows for. Were they random,
// one row in 10^14 would exceed it, upwards, and only then could a draw differ.
constexpr double kDeviations = 8;

// Of a row's length, for the rounding of the sums to floats.
constexpr double kRounding = 1e-3;

std::size_t NumTiles(std::size_t vocab_size) { return RoundUp(vocab_size, kTileRows) / kTileRows; }

template <typename Body>
void ForTiles(ThreadPool& pool, std::size_t vocab_size, const Body& body) {
  const std::size_t num_tiles = NumTiles(vocab_size);
  pool.Run((num_tiles + kTilesPerTask - 1) / kTilesPerTask, [&](std::size_t task, std::size_t) {
    body(task * kTilesPerTask, std::min((task + 1) * kTilesPerTask, num_tiles));
  });
}

// Tile by tile: a line holds bytes of all its rows, which one thread writes.
template <typename Body>
void ForRows(ThreadPool& pool, std::size_t vocab_size, const Body& body) {
  pool.Run(NumTiles(vocab_size), [&](std::size_t tile, std::size_t) {
    const std::size_t end = std::min((tile + 1) * kTileRows, vocab_size);
    for (std::size_t n = tile * kTileRows; n < end; ++n) {
      body(n);
    }
  });
}

double Length(const float* x, std::size_t n) {
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  return std::sqrt(squares);
}

}  // namespace

Head::Head(HeadKind kind, std::size_t vocab_size, std::size_t hidden_size)
    : kind_(kind), vocab_size_(vocab_size), hidden_size_(hidden_size) {
  if (kind_ == HeadKind::kBf16) {
    gathered_ = AlignedBuffer<float>(kMaxRows * hidden_size);
    return;
  }
  const std::size_t plane = HeadPlaneBytes(vocab_size, hidden_size);
  high_ = AlignedBuffer<std::uint8_t>(plane, AlignedBuffer<std::uint8_t>::Pages::kHuge);
  low_ = AlignedBuffer<std::uint8_t>(plane);
  row_scales_ = AlignedBuffer<float>(RoundUp(vocab_size, kTileRows));
  screen_scales_ = AlignedBuffer<float>(vocab_size);
  margins_ = AlignedBuffer<float>(vocab_size);
  values_ = AlignedBuffer<std::uint8_t>(kMaxRows * 2 * RoundUp(hidden_size, kHeadAlign));
  scales_ = AlignedBuffer<float>(kMaxRows);
  sums_ = AlignedBuffer<std::int32_t>(kMaxRows);
  reaches_ = AlignedBuffer<float>(kMaxRows);
}

void Head::Pack(const Kernels& kernels, ThreadPool& pool, const Bf16Table& table) {
  table_ = table;
  if (kind_ == HeadKind::kBf16) {
    return;
  }
  low_is_packed_ = false;
  ForRows(pool, vocab_size_, [&](std::size_t n) {
    HeadRow row;
    kernels.head_pack(table.row(n), hidden_size_, &high_[HeadRowPlace(n, hidden_size_)], nullptr,
                      &row);
    const auto squares = static_cast<double>(row.squares);
    const auto products = static_cast<double>(row.products);
    const auto middles = static_cast<double>(row.middles);
    // The weights are closest to this multiple of the middles; what it leaves is at right angles
    // to them, so that a token does not gain or lose by being likely.
    const double multiple = products / middles;
    const double left = std::sqrt(std::max(0.0, squares - products * multiple));
    const auto scale = static_cast<double>(row.scale);
    row_scales_[n] = row.scale;
    screen_scales_[n] = static_cast<float>(2 * multiple * scale);
    margins_[n] = static_cast<float>((left + kRounding * std::sqrt(squares)) * scale);
  });
}

void Head::PackLow(const Kernels& kernels, ThreadPool& pool) {
  if (low_is_packed_) {
    return;
  }
  low_.WishHugePages();
  ForRows(pool, vocab_size_, [&](std::size_t n) {
    HeadRow row;
    kernels.head_pack(table_.row(n), hidden_size_, nullptr, &low_[HeadRowPlace(n, hidden_size_)],
                      &row);
  });
  low_is_packed_ = true;
}

void Head::Multiply(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                    std::span<const std::size_t> rows, float* logits) {
  if (kind_ == HeadKind::kBf16) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(hidden + rows[i] * hidden_size_, hidden_size_, &gathered_[i * hidden_size_]);
    }
    ForTiles(pool, vocab_size_, [&](std::size_t begin, std::size_t end) {
      kernels.bf16_gemm(table_.data, table_.stride, hidden_size_, begin * kTileRows,
                        std::min(end * kTileRows, vocab_size_), gathered_.data(), rows.size(),
                        hidden_size_, logits, vocab_size_);
    });
    return;
  }
  PackLow(kernels, pool);
  Quantize(kernels, pool, hidden, rows);
  const HeadMatrix matrix = Packed();
  const WideRows wide = Quantized(0, rows.size());
  ForTiles(pool, vocab_size_, [&](std::size_t begin, std::size_t end) {
    kernels.head_gemm(&matrix, &wide, begin, end, logits, vocab_size_);
  });
}

void Head::Screen(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                  std::span<const std::size_t> rows, std::int32_t* sums) {
  Quantize(kernels, pool, hidden, rows);
  const HeadMatrix matrix = Packed();
  const WideRows wide = Quantized(0, rows.size());
  ForTiles(pool, vocab_size_, [&](std::size_t begin, std::size_t end) {
    kernels.head_dots(&matrix, &wide, begin, end, sums, vocab_size_);
  });
}

// A sum of q * (16 * high - 120) - q / 2, all exact but for the last: q times half a middle.
tercet::Screen Head::ScreenOf(std::size_t i, const std::int32_t* sums) const {
  const std::uint32_t offset = -120U * static_cast<std::uint32_t>(sums_[i]);
  return {.sums = sums,
          .scales = screen_scales_.data(),
          .margins = margins_.data(),
          .offset = static_cast<std::int32_t>(offset),
          .lift = -0.5F * static_cast<float>(sums_[i]),
          .scale = scales_[i],
          .reach = reaches_[i],
          .inverse_temperature = 1,
          .key = nullptr,
          .begin = 0,
          .end = vocab_size_};
}

float Head::Finish(const Kernels& kernels, std::size_t i, std::size_t token) const {
  const WideRows wide = Quantized(i, 1);
  const std::int32_t sum = kernels.head_dot(table_.row(token), hidden_size_, &wide);
  return static_cast<float>(sum) * (scales_[i] * row_scales_[token]);
}

void Head::Quantize(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                    std::span<const std::size_t> rows) {
  const std::size_t stride = 2 * RoundUp(hidden_size_, kHeadAlign);
  pool.ForEach(rows.size(), hidden_size_, [&](std::size_t i, std::size_t) {
    const float* x = hidden + rows[i] * hidden_size_;
    kernels.head_quantize(x, hidden_size_, &values_[i * stride], &scales_[i], &sums_[i]);
    const double deviation = Length(x, hidden_size_) / std::sqrt(static_cast<double>(hidden_size_));
    reaches_[i] = static_cast<float>(kDeviations * deviation);
  });
}

HeadMatrix Head::Packed() const {
  return {high_.data(), low_.data(), row_scales_.data(), vocab_size_, hidden_size_};
}

WideRows Head::Quantized(std::size_t first, std::size_t count) const {
  const std::size_t stride = 2 * RoundUp(hidden_size_, kHeadAlign);
  return {&values_[first * stride], &scales_[first], &sums_[first], count, stride};
}

std::size_t Head::decode_bytes() const {
  return kind_ == HeadKind::kInt8 ? bytes() - low_.bytes()
                                  : vocab_size_ * hidden_size_ * sizeof(std::uint16_t);
}

}  // namespace tercet
