#include "packing_choice.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "weights.h"

namespace tercet {
namespace {

// A model below this is computed out of caches, whatever its packing.
constexpr std::size_t kTinyBytes = std::size_t{16} << 20;
// What is read in one trial: more than the last-level cache that a process can usually call its
// own.
constexpr std::size_t kSampleBytes = std::size_t{128} << 20;
// Trials take turns until the time is up: a moment in which the machine was busy elsewhere then
// costs one trial and not one packing.
constexpr double kBudgetSeconds = 0.12;
constexpr int kMinRounds = 2;
constexpr int kMaxRounds = 8;
// Times this close are the same, and the smaller packing leaves more of the machine to others.
constexpr double kSameTime = 1.03;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Copies of a model's largest matrix, as many tiles as fit in the memory whichever packing they are
// in; what they hold does not matter to the time.
class Sample {
 public:
  Sample(const ModelConfig& config, std::size_t num_tiles, std::size_t tile_bytes, ThreadPool& pool)
      : rows_(2 * RoundUp(config.intermediate_size, kTileRows)),
        cols_(config.hidden_size),
        num_tiles_(num_tiles),
        packed_(num_tiles * tile_bytes, AlignedBuffer<std::uint8_t>::Pages::kHuge),
        row_scales_(rows_),
        out_(rows_),
        activations_(1, cols_, config.grid) {
    constexpr std::size_t kPage = 4096;
    constexpr std::size_t kPiece = std::size_t{2} << 20;
    pool.Run((packed_.size() + kPiece - 1) / kPiece, [&](std::size_t piece, std::size_t) {
      const std::size_t end = std::min(packed_.size(), (piece + 1) * kPiece);
      for (std::size_t i = piece * kPiece; i < end; i += kPage) {
        packed_[i] = 1;  // memory comes with the first write
      }
    });
  }

  // Seconds that one token takes.
  double Seconds(ThreadPool& pool, const WeightPacking& packing) {
    const double begin = Now();
    const std::uint8_t* packed = packed_.data();
    for (std::size_t rows_left = num_tiles_ * kTileRows; rows_left > 0;) {
      const std::size_t rows = std::min(rows_, rows_left);
      Multiply(pool, packing, {packed, row_scales_.data(), rows, cols_}, activations_, 1, 0,
               RoundUp(rows, kTileRows) / kTileRows, out_.data(), rows_);
      packed += packing.Bytes(rows, cols_);
      rows_left -= rows;
    }
    return Now() - begin;
  }

 private:
  std::size_t rows_;
  std::size_t cols_;
  std::size_t num_tiles_;
  AlignedBuffer<std::uint8_t> packed_;
  AlignedBuffer<float> row_scales_;
  AlignedBuffer<float> out_;
  Activations activations_;
};

// Seconds of one token in each packing, the best of several trials.
std::vector<double> Measure(std::span<const WeightPacking> packings, const ModelConfig& config,
                            std::size_t model_bytes, ThreadPool& pool) {
  std::size_t tile_bytes = 0;
  for (const WeightPacking& packing : packings) {
    tile_bytes = std::max(tile_bytes, packing.Bytes(kTileRows, config.hidden_size));
  }
  const std::size_t num_tiles =
      std::max<std::size_t>(std::min(model_bytes, kSampleBytes) / tile_bytes, pool.num_threads());
  Sample sample(config, num_tiles, tile_bytes, pool);
  std::vector<double> best(packings.size(), std::numeric_limits<double>::infinity());
  const double begin = Now();
  for (int round = 0; round < kMinRounds || (round < kMaxRounds && Now() - begin < kBudgetSeconds);
       ++round) {
    for (std::size_t i = 0; i < packings.size(); ++i) {
      best[i] = std::min(best[i], sample.Seconds(pool, packings[i]));
    }
  }
  return best;
}

}  // namespace

std::vector<WeightPacking> Packings(const Kernels& kernels, Grid grid) {
  std::vector<WeightPacking> packings;
  packings.reserve(std::max(kernels.num_packings, kernels.num_grouped_packings));
  if (grid.group() != 0) {
    for (std::size_t i = 0; i < kernels.num_grouped_packings; ++i) {
      packings.push_back({.grouped = &kernels.grouped_packings[i], .grid = grid});
    }
  } else {
    for (std::size_t i = 0; i < kernels.num_packings; ++i) {
      packings.push_back({.plain = &kernels.packings[i], .grid = grid});
    }
  }
  return packings;
}

WeightPacking FindPacking(const Kernels& kernels, Grid grid, std::string_view name) {
  std::string known;
  for (const WeightPacking& packing : Packings(kernels, grid)) {
    if (name == packing.name()) {
      return packing;
    }
    known += (known.empty() ? "" : ", ") + std::string(packing.name());
  }
  const std::string kind = grid.group() == 0 ? "" : " of grouped weights";
  throw std::invalid_argument("kernel set '" + std::string(kernels.name) + "' has no packing '" +
                              std::string(name) + "'" + kind + "; it has " + known);
}

std::size_t WeightBytesOf(const Kernels& kernels, const ModelConfig& config, HeadKind head,
                          std::string_view packing) {
  // A layer's memory is taken page by page as it is written: asking for its size costs nothing.
  const auto bytes = [&](const WeightPacking& one) {
    return config.num_layers * LayerWeights(one, config).bytes() +
           Head(head, config.vocab_size, config.hidden_size, one).bytes();
  };
  if (packing != kAutoPacking) {
    return bytes(FindPacking(kernels, config.grid, packing));
  }
  std::size_t most = 0;
  for (const WeightPacking& one : Packings(kernels, config.grid)) {
    most = std::max(most, bytes(one));
  }
  return most;
}

std::size_t SmallestOfFastest(std::span<const double> seconds, std::span<const std::size_t> bytes) {
  const auto fastest = std::min_element(seconds.begin(), seconds.end());
  auto chosen = static_cast<std::size_t>(fastest - seconds.begin());
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    if (seconds[i] <= kSameTime * *fastest && bytes[i] < bytes[chosen]) {
      chosen = i;
    }
  }
  return chosen;
}

WeightPacking FastestPacking(const Kernels& kernels, const ModelConfig& config, ThreadPool& pool) {
  const std::vector<WeightPacking> packings = Packings(kernels, config.grid);
  const std::size_t model_bytes = config.num_layers * LayerWeights(packings[0], config).bytes();
  if (packings.size() == 1 || model_bytes < kTinyBytes) {
    return packings[0];
  }
  const std::vector<double> seconds = Measure(packings, config, model_bytes, pool);
  std::vector<std::size_t> bytes;
  for (const WeightPacking& packing : packings) {
    bytes.push_back(packing.Bytes(config.intermediate_size, config.hidden_size));
  }
  return packings[SmallestOfFastest(seconds, bytes)];
}

}  // namespace tercet
