#include "head.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "formats/numbers.h"

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

void Require(bool holds, const std::string& otherwise) {
  if (!holds) {
    throw std::invalid_argument(otherwise);
  }
}

std::uint16_t NarrowToBf16(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

double Length(const float* x, std::size_t n) {
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  return std::sqrt(squares);
}

}  // namespace

Head::Head(HeadKind kind, std::size_t vocab_size, std::size_t hidden_size,
           const WeightPacking& packing)
    : kind_(kind), vocab_size_(vocab_size), hidden_size_(hidden_size) {
  if (kind_ == HeadKind::kTernary) {
    Linear matrix(packing, std::array{vocab_size}, hidden_size);
    AlignedBuffer<float> all(kMaxRows * matrix.out_stride());
    ternary_ = std::make_unique<Ternary>(Ternary{
        std::move(matrix), Activations(kMaxRows, hidden_size, packing.grid), std::move(all)});
    return;
  }
  if (kind_ == HeadKind::kBf16) {
    gathered_ = AlignedBuffer<float>(kMaxRows * hidden_size);
    return;
  }
  const std::size_t plane = HeadPlaneBytes(vocab_size, hidden_size);
  high_ = PackedBytes(plane);
  low_ = AlignedBuffer<std::uint8_t>(plane);
  row_scales_ = AlignedBuffer<float>(RoundUp(vocab_size, kTileRows));
  screen_scales_ = AlignedBuffer<float>(vocab_size);
  margins_ = AlignedBuffer<float>(vocab_size);
  values_ = AlignedBuffer<std::uint8_t>(kMaxRows * 2 * RoundUp(hidden_size, kHeadAlign));
  scales_ = AlignedBuffer<float>(kMaxRows);
  sums_ = AlignedBuffer<std::int32_t>(kMaxRows);
  reaches_ = AlignedBuffer<float>(kMaxRows);
}

void Head::Pack(const Kernels& kernels, ThreadPool& pool, const TensorSource& table) {
  table_ = table;
  if (kind_ == HeadKind::kTernary) {
    ternary_->matrix.Pack(pool, 0, table, 1);
    return;
  }
  if (kind_ == HeadKind::kBf16) {
    if (table.layout != Layout::kBf16) {
      copy_ = AlignedBuffer<std::uint16_t>(vocab_size_ * hidden_size_);
      pool.Run(vocab_size_, [&](std::size_t n, std::size_t) {
        std::vector<std::uint16_t> scratch;
        std::copy_n(Bf16Row(n, scratch), hidden_size_, &copy_[n * hidden_size_]);
      });
    }
    return;
  }
  low_is_packed_ = false;
  ForRows(pool, vocab_size_, [&](std::size_t n) {
    std::vector<std::uint16_t> scratch;
    HeadRow row{};
    kernels.head_pack(Bf16Row(n, scratch), hidden_size_,
                      high_.own() + HeadRowPlace(n, hidden_size_), nullptr, &row);
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

void Head::Take(ThreadPool& pool, const TensorSource& table, const PackedPlane& plane,
                bool in_place) {
  const auto take = [](std::span<const float> from, AlignedBuffer<float>& to) {
    Require(from.size() == to.size() &&
                std::all_of(from.begin(), from.end(), [](float x) { return std::isfinite(x); }),
            "its scales are not as many as it has rows, or not finite");
    std::copy(from.begin(), from.end(), to.data());
  };
  Require(kind_ == HeadKind::kInt8, "a plane is of an int8 head");
  Require(plane.high.size() == high_.bytes(), "its plane has " + std::to_string(plane.high.size()) +
                                                  " bytes; this model needs " +
                                                  std::to_string(high_.bytes()));
  Require(!in_place || reinterpret_cast<std::uintptr_t>(plane.high.data()) % kByteAlign == 0,
          "its plane does not begin at a multiple of " + std::to_string(kByteAlign) + " bytes");
  take(plane.row_scales, row_scales_);
  take(plane.screen_scales, screen_scales_);
  take(plane.margins, margins_);
  if (in_place) {
    high_.View(pool, plane.high);
  } else {
    high_.Copy(pool, plane.high);
  }
  table_ = table;
  low_is_packed_ = false;
}

void Head::Take(ThreadPool& pool, const TensorSource& table, const PackedTiles& tiles,
                bool in_place) {
  Require(kind_ == HeadKind::kTernary, "tiles are of a ternary head");
  ternary_->matrix.Take(pool, tiles, in_place);
  table_ = table;
}

PackedPlane Head::Contents() const {
  return {.high = high_.span(),
          .row_scales = {row_scales_.data(), row_scales_.size()},
          .screen_scales = {screen_scales_.data(), screen_scales_.size()},
          .margins = {margins_.data(), margins_.size()}};
}

// A row of the table as bfloat16: where it lies, or in `scratch`.
const std::uint16_t* Head::Bf16Row(std::size_t token, std::vector<std::uint16_t>& scratch) const {
  if (table_.layout == Layout::kBf16) {
    const std::size_t stride = table_.row_stride != 0 ? table_.row_stride : 2 * hidden_size_;
    return reinterpret_cast<const std::uint16_t*>(table_.data + token * stride);
  }
  std::vector<float> numbers(hidden_size_);
  ReadNumbers(table_, token, numbers.data());
  scratch.resize(hidden_size_);
  std::transform(numbers.begin(), numbers.end(), scratch.begin(), NarrowToBf16);
  return scratch.data();
}

void Head::PackLow(const Kernels& kernels, ThreadPool& pool) {
  if (low_is_packed_) {
    return;
  }
  low_.WishHugePages();
  ForRows(pool, vocab_size_, [&](std::size_t n) {
    std::vector<std::uint16_t> scratch;
    HeadRow row{};
    kernels.head_pack(Bf16Row(n, scratch), hidden_size_, nullptr,
                      &low_[HeadRowPlace(n, hidden_size_)], &row);
  });
  low_is_packed_ = true;
}

void Head::Multiply(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                    std::span<const std::size_t> rows, float* logits) {
  switch (kind_) {
    case HeadKind::kBf16:
      MultiplyBf16(kernels, pool, hidden, rows, logits);
      return;
    case HeadKind::kTernary:
      MultiplyTernary(kernels, pool, hidden, rows, logits);
      return;
    case HeadKind::kInt8:
      break;
  }
  PackLow(kernels, pool);
  Quantize(kernels, pool, hidden, rows);
  const HeadMatrix matrix = Packed();
  const WideRows wide = Quantized(0, rows.size());
  ForTiles(pool, vocab_size_, [&](std::size_t begin, std::size_t end) {
    kernels.head_gemm(&matrix, &wide, begin, end, logits, vocab_size_);
  });
}

void Head::MultiplyBf16(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                        std::span<const std::size_t> rows, float* logits) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(hidden + rows[i] * hidden_size_, hidden_size_, &gathered_[i * hidden_size_]);
  }
  std::vector<std::uint16_t> none;
  const std::uint16_t* table = copy_.size() != 0 ? copy_.data() : Bf16Row(0, none);
  const std::size_t stride = table_.row_stride != 0 ? table_.row_stride / 2 : hidden_size_;
  ForTiles(pool, vocab_size_, [&](std::size_t begin, std::size_t end) {
    kernels.bf16_gemm(table, stride, hidden_size_, begin * kTileRows,
                      std::min(end * kTileRows, vocab_size_), gathered_.data(), rows.size(),
                      hidden_size_, logits, vocab_size_);
  });
}

void Head::MultiplyTernary(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                           std::span<const std::size_t> rows, float* logits) {
  pool.ForEach(rows.size(), hidden_size_, [&](std::size_t i, std::size_t) {
    ternary_->activations.Quantize(kernels, i, hidden + rows[i] * hidden_size_, hidden_size_);
  });
  ternary_->matrix.Multiply(kernels, pool, ternary_->activations, rows.size(),
                            ternary_->logits.data());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(&ternary_->logits[i * ternary_->matrix.out_stride()], vocab_size_,
                logits + i * vocab_size_);
  }
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
  std::vector<std::uint16_t> scratch;
  const std::int32_t sum = kernels.head_dot(Bf16Row(token, scratch), hidden_size_, &wide);
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
  switch (kind_) {
    case HeadKind::kInt8:
      return bytes() - low_.bytes();
    case HeadKind::kTernary:
      return bytes();
    case HeadKind::kBf16:
      break;
  }
  return vocab_size_ * hidden_size_ * sizeof(std::uint16_t);
}

std::size_t Head::bytes() const {
  return high_.bytes() + low_.bytes() + row_scales_.bytes() + screen_scales_.bytes() +
         margins_.bytes() + copy_.bytes() + (ternary_ ? ternary_->matrix.bytes() : 0);
}

std::size_t Head::workspace_bytes() const {
  return values_.bytes() + scales_.bytes() + sums_.bytes() + reaches_.bytes() + gathered_.bytes() +
         (ternary_ ? ternary_->logits.bytes() + ternary_->activations.bytes() : 0);
}

}  // namespace tercet
