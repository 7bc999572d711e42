#include "head.h"

#include <algorithm>

namespace tercet {
namespace {

// 512 rows a task: about a megabyte of weights, some hundred tasks for a large vocabulary.
constexpr std::size_t kTilesPerTask = 16;

std::size_t Tasks(std::size_t vocab_size) {
  return (vocab_size + kTilesPerTask * kTileRows - 1) / (kTilesPerTask * kTileRows);
}

}  // namespace

Head::Head(const Kernels& kernels, HeadKind kind, std::size_t vocab_size, std::size_t hidden_size)
    : kind_(kind), vocab_size_(vocab_size), hidden_size_(hidden_size) {
  if (kind_ == HeadKind::kInt8) {
    packed_ = AlignedBuffer<std::uint8_t>(kernels.int8_bytes(vocab_size, hidden_size),
                                          AlignedBuffer<std::uint8_t>::Pages::kHuge);
    row_scales_ = AlignedBuffer<float>(RoundUp(vocab_size, kTileRows));
    values_ = AlignedBuffer<std::uint8_t>(kMaxRows * 2 * RoundUp(hidden_size, kColumnAlign));
    scales_ = AlignedBuffer<float>(kMaxRows);
    sums_ = AlignedBuffer<std::int32_t>(kMaxRows);
  }
}

void Head::Pack(const Kernels& kernels, ThreadPool& pool, const Bf16Table& table) {
  if (kind_ == HeadKind::kBf16) {
    table_ = table;
    return;
  }
  pool.Run(RoundUp(vocab_size_, kTileRows) / kTileRows, [&](std::size_t tile, std::size_t) {
    kernels.int8_pack(table.data, table.stride, vocab_size_, hidden_size_, tile, packed_.data(),
                      row_scales_.data());
  });
}

void Head::Multiply(const Kernels& kernels, ThreadPool& pool, const float* hidden,
                    std::size_t num_rows, float* logits) {
  if (kind_ == HeadKind::kBf16) {
    pool.Run(Tasks(vocab_size_), [&](std::size_t task, std::size_t) {
      const std::size_t begin = task * kTilesPerTask * kTileRows;
      const std::size_t end = std::min(begin + kTilesPerTask * kTileRows, vocab_size_);
      kernels.bf16_gemm(table_.data, table_.stride, hidden_size_, begin, end, hidden, num_rows,
                        hidden_size_, logits, vocab_size_);
    });
    return;
  }
  const std::size_t stride = 2 * RoundUp(hidden_size_, kColumnAlign);
  pool.ForEach(num_rows, hidden_size_, [&](std::size_t i, std::size_t) {
    kernels.wide_quantize(hidden + i * hidden_size_, hidden_size_, &values_[i * stride],
                          &scales_[i], &sums_[i]);
  });
  const Int8Matrix matrix{packed_.data(), row_scales_.data(), vocab_size_, hidden_size_};
  const WideRows rows{values_.data(), scales_.data(), sums_.data(), num_rows, stride};
  const std::size_t num_tiles = RoundUp(vocab_size_, kTileRows) / kTileRows;
  pool.Run(Tasks(vocab_size_), [&](std::size_t task, std::size_t) {
    const std::size_t begin = task * kTilesPerTask;
    kernels.int8_gemm(&matrix, &rows, begin, std::min(begin + kTilesPerTask, num_tiles), logits,
                      vocab_size_);
  });
}

std::size_t Head::decode_bytes() const {
  return kind_ == HeadKind::kInt8 ? bytes() : vocab_size_ * hidden_size_ * sizeof(std::uint16_t);
}

}  // namespace tercet
