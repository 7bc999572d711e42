#include "formats/trits.h"

#include <algorithm>

#include "formats/blocks.h"

namespace tercet {
namespace {

void ReadHfPacked(const TensorSource& source, std::size_t row, std::uint8_t* codes) {
  const std::size_t quarter = source.rows / 4;
  const std::uint8_t* bytes = source.data + row % quarter * source.cols;
  const auto shift = static_cast<unsigned>(2 * (row / quarter));
  for (std::size_t c = 0; c < source.cols; ++c) {
    codes[c] = static_cast<std::uint8_t>((bytes[c] >> shift) & 3);
  }
}

// Weight j of a block of 128 is in byte j % 32, the first 32 in the highest bits.
void ReadI2S(const TensorSource& source, std::size_t row, std::uint8_t* codes) {
  constexpr std::size_t kBlock = 128;
  constexpr std::size_t kRun = 32;
  const std::size_t begin = row * source.cols;
  const std::size_t end = begin + source.cols;
  for (std::size_t i = begin; i < end;) {
    const std::size_t j = i % kBlock;
    const std::size_t count = std::min(kRun - j % kRun, end - i);
    const std::uint8_t* bytes = source.data + i / kBlock * kRun + j % kRun;
    const auto shift = static_cast<unsigned>(6 - 2 * (j / kRun));
    for (std::size_t k = 0; k < count; ++k) {
      codes[i - begin + k] = static_cast<std::uint8_t>((bytes[k] >> shift) & 3);
    }
    i += count;
  }
}

// Five trits, the most significant first, as a fraction of 256: times three, the next trit is what
// carries out of the byte.
void ReadTrits(const std::uint8_t* bytes, std::size_t num_bytes, std::size_t num_trits,
               std::uint8_t* codes) {
  for (std::size_t i = 0; i < num_bytes; ++i) {
    std::uint32_t left = bytes[i];
    for (std::size_t trit = 0; trit < num_trits; ++trit) {
      left *= 3;
      codes[trit * num_bytes + i] = static_cast<std::uint8_t>(left >> 8);
      left &= 0xffU;
    }
  }
}

float ReadTq1(const std::uint8_t* block, std::uint8_t* codes) {
  ReadTrits(block, 32, 5, codes);
  ReadTrits(block + 32, 16, 5, codes + 160);
  ReadTrits(block + 48, 4, 4, codes + 240);
  return WidenF16(ReadAs<std::uint16_t>(block + 52));
}

float ReadPtq1(const std::uint8_t* block, std::uint8_t* codes) {
  ReadTrits(block, 16, 5, codes);
  ReadTrits(block + 16, 8, 5, codes + 80);
  ReadTrits(block + 24, 2, 4, codes + 120);
  return WidenF16(ReadAs<std::uint16_t>(block + 26));
}

// Two halves of 128; weight 32 k + i of a half is in byte i, the first 32 in the lowest bits.
float ReadTq2(const std::uint8_t* block, std::uint8_t* codes) {
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t i = 0; i < 32; ++i) {
        codes[half * 128 + k * 32 + i] =
            static_cast<std::uint8_t>((block[half * 32 + i] >> (2 * k)) & 3);
      }
    }
  }
  return WidenF16(ReadAs<std::uint16_t>(block + 64));
}

// Four neighbours to a byte, the first in the lowest bits.
float ReadQ2(const std::uint8_t* block, std::size_t num_weights, std::uint8_t* codes) {
  for (std::size_t i = 0; i < num_weights / 4; ++i) {
    const std::uint8_t byte = block[2 + i];
    for (std::size_t k = 0; k < 4; ++k) {
      codes[4 * i + k] = static_cast<std::uint8_t>((byte >> (2 * k)) & 3);
    }
  }
  return WidenF16(ReadAs<std::uint16_t>(block));
}

}  // namespace

float ReadBlock(Layout layout, const std::uint8_t* block, std::uint8_t* codes) {
  switch (layout) {
    case Layout::kTq1:
      return ReadTq1(block, codes);
    case Layout::kTq2:
      return ReadTq2(block, codes);
    case Layout::kPtq1:
      return ReadPtq1(block, codes);
    default:
      return ReadQ2(block, BlockOf(layout).values, codes);
  }
}

bool HasBlockScales(Layout layout) {
  switch (layout) {
    case Layout::kTq1:
    case Layout::kTq2:
    case Layout::kQ2Of64:
    case Layout::kQ2Of128:
    case Layout::kPtq1:
      return true;
    default:
      return false;
  }
}

bool IsTernary(Layout layout) {
  return layout == Layout::kHfPacked || layout == Layout::kI2S || HasBlockScales(layout);
}

void ReadCodes(const TensorSource& source, std::size_t row, std::uint8_t* codes, float* scales) {
  if (source.layout == Layout::kHfPacked) {
    ReadHfPacked(source, row, codes);
    return;
  }
  if (source.layout == Layout::kI2S) {
    ReadI2S(source, row, codes);
    return;
  }
  const BlockShape shape = BlockOf(source.layout);
  const std::size_t num_blocks = source.cols / shape.values;
  const std::uint8_t* block = source.data + row * source.RowBytes();
  for (std::size_t i = 0; i < num_blocks; ++i, block += shape.bytes) {
    scales[i] = ReadBlock(source.layout, block, codes + i * shape.values);
  }
}

}  // namespace tercet
