// Sizes of the layouts' blocks, and how single values are read from bytes of any alignment.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tercet/tensor_source.h"

namespace tercet {

struct BlockShape {
  std::size_t values;
  std::size_t bytes;
};

// Of layouts whose rows are sequences of blocks; a block of the others is one value.
constexpr BlockShape BlockOf(Layout layout) {
  switch (layout) {
    case Layout::kTq1:
      return {256, 54};
    case Layout::kTq2:
      return {256, 66};
    case Layout::kQ2Of64:
      return {64, 18};
    case Layout::kQ2Of128:
      return {128, 34};
    case Layout::kPtq1:
      return {128, 28};
    case Layout::kQ8:
      return {32, 34};
    case Layout::kQ6:
      return {256, 210};
    case Layout::kQ4:
      return {32, 18};
    case Layout::kF32:
      return {1, 4};
    case Layout::kBf16:
    case Layout::kF16:
      return {1, 2};
    case Layout::kHfPacked:
    case Layout::kI2S:
      break;
  }
  return {4, 1};
}

template <typename T>
T ReadAs(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline float WidenBf16(std::uint16_t bits) {
  const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
  float value = 0;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

// float16 to float, exactly; infinities and NaN stay what they are.
inline float WidenF16(std::uint16_t bits) {
  const std::uint32_t magnitude = bits & 0x7fffU;
  std::uint32_t word = (magnitude << 13) + 0x38000000U;
  if (magnitude >= 0x7c00U) {
    word = (magnitude << 13) | 0x7f800000U;
  }
  float value = 0;
  std::memcpy(&value, &word, sizeof value);
  if (magnitude < 0x400U) {
    value = static_cast<float>(magnitude) * 0x1p-24F;
  }
  return (bits & 0x8000U) != 0 ? -value : value;
}

// The float16 nearest to a number of at most 65504, half to even.
std::uint16_t NarrowToF16(float value);

}  // namespace tercet
