#include "tercet/tensor_source.h"

#include <array>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "formats/blocks.h"

namespace tercet {
namespace {

constexpr std::array<std::pair<std::string_view, Layout>, 13> kNames{{
    {"hf_packed", Layout::kHfPacked},
    {"i2_s", Layout::kI2S},
    {"tq1_0", Layout::kTq1},
    {"tq2_0", Layout::kTq2},
    {"q2_0_g64", Layout::kQ2Of64},
    {"q2_0_g128", Layout::kQ2Of128},
    {"ptq1_0", Layout::kPtq1},
    {"bf16", Layout::kBf16},
    {"f16", Layout::kF16},
    {"f32", Layout::kF32},
    {"q8_0", Layout::kQ8},
    {"q6_k", Layout::kQ6},
    {"q4_0", Layout::kQ4},
}};

void Require(bool holds, const std::string& otherwise) {
  if (!holds) {
    throw std::invalid_argument(otherwise);
  }
}

std::size_t BytesOf(const TensorSource& source) {
  if (source.layout == Layout::kHfPacked) {
    return source.rows * source.cols / 4;
  }
  if (source.layout == Layout::kI2S) {  // the last block is as long as the others
    return (source.rows * source.cols + 127) / 128 * 32;
  }
  const BlockShape block = BlockOf(source.layout);
  return (source.rows - 1) * source.RowBytes() + source.cols / block.values * block.bytes;
}

}  // namespace

Layout ParseLayout(std::string_view name) {
  for (const auto& [known, layout] : kNames) {
    if (known == name) {
      return layout;
    }
  }
  throw std::invalid_argument("no layout is called '" + std::string(name) + "'");
}

void TensorSource::Check() const {
  constexpr std::size_t kMost = std::size_t{1} << 40;
  Require(rows >= 1 && cols >= 1 && rows <= kMost / cols, "a matrix has at least one value");
  const std::size_t block = BlockOf(layout).values;
  Require(layout == Layout::kI2S || layout == Layout::kHfPacked || cols % block == 0,
          "rows of " + std::to_string(cols) + " values are no multiple of the layout's blocks of " +
              std::to_string(block));
  Require(layout != Layout::kHfPacked || rows % 4 == 0,
          std::to_string(rows) + " rows are no multiple of 4");
  Require(rope_head_dim == 0 || (rope_head_dim % 2 == 0 && rows % rope_head_dim == 0),
          std::to_string(rows) + " rows are no heads of " + std::to_string(rope_head_dim));
  Require(row_stride == 0 || (row_stride % BlockOf(layout).bytes == 0 &&
                              layout != Layout::kHfPacked && layout != Layout::kI2S),
          "only rows of whole blocks may lie apart");
  Require(row_stride <= kMost / rows, "rows that lie " + std::to_string(row_stride) +
                                          " bytes apart are more than fit into memory");
  Require(num_bytes >= BytesOf(*this),
          "a matrix of " + std::to_string(rows) + " x " + std::to_string(cols) + " takes " +
              std::to_string(BytesOf(*this)) + " bytes; there are " + std::to_string(num_bytes));
}

std::size_t TensorSource::RowBytes() const {
  const BlockShape block = BlockOf(layout);
  return row_stride != 0 ? row_stride : cols / block.values * block.bytes;
}

std::size_t TensorSource::RowInFile(std::size_t row) const {
  if (rope_head_dim == 0) {
    return row;
  }
  const std::size_t half = rope_head_dim / 2;
  const std::size_t i = row % rope_head_dim;
  return row - i + i % half * 2 + i / half;
}

std::uint16_t NarrowToF16(float value) {
  const float magnitude = std::fabs(value);
  std::uint16_t bits = 0;
  if (magnitude < 0x1p-14F) {  // below the normal numbers: a multiple of 2^-24
    bits = static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24F));
  } else {
    const auto word = ReadAs<std::uint32_t>(reinterpret_cast<const std::uint8_t*>(&magnitude));
    const std::uint32_t rounded = word + 0xfffU + ((word >> 13) & 1U);
    bits = static_cast<std::uint16_t>((rounded - 0x38000000U) >> 13);
  }
  return static_cast<std::uint16_t>(bits | (std::signbit(value) ? 0x8000U : 0U));
}

}  // namespace tercet
