#include "formats/numbers.h"

#include <cstdint>
#include <vector>

#include "formats/blocks.h"
#include "formats/trits.h"

namespace tercet {
namespace {

void ReadQ8(const std::uint8_t* block, float* out) {
  const float scale = WidenF16(ReadAs<std::uint16_t>(block));
  for (std::size_t i = 0; i < 32; ++i) {
    out[i] = scale * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
  }
}

// The lower halves of 16 bytes are the first 16 numbers, plus 8.
void ReadQ4(const std::uint8_t* block, float* out) {
  const float scale = WidenF16(ReadAs<std::uint16_t>(block));
  for (std::size_t i = 0; i < 16; ++i) {
    const int byte = block[2 + i];
    out[i] = scale * static_cast<float>((byte & 15) - 8);
    out[16 + i] = scale * static_cast<float>((byte >> 4) - 8);
  }
}

// Two halves of 128 numbers: 64 bytes of low 4 bits, 32 of high 2 bits, 8 scales of 16 numbers.
// Number 32 k + i of a half has its low bits in byte i + 32 * (k % 2), the lower half of it for
// k < 2, and its high ones in byte i at 2 k; 32 is added to it.
void ReadQ6(const std::uint8_t* block, float* out) {
  const float scale = WidenF16(ReadAs<std::uint16_t>(block + 208));
  for (std::size_t half = 0; half < 2; ++half) {
    const std::uint8_t* low = block + half * 64;
    const std::uint8_t* high = block + 128 + half * 32;
    const std::uint8_t* scales = block + 192 + half * 8;
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t i = 0; i < 32; ++i) {
        const int four = (low[i + 32 * (k % 2)] >> (k < 2 ? 0 : 4)) & 15;
        const int two = (high[i] >> (2 * k)) & 3;
        const auto sub_scale = static_cast<std::int8_t>(scales[2 * k + i / 16]);
        out[half * 128 + k * 32 + i] =
            scale * static_cast<float>(sub_scale) * static_cast<float>((four | two << 4) - 32);
      }
    }
  }
}

// Calls read(block, out) for every block of a row.
template <typename Read>
void ForBlocks(const TensorSource& source, std::size_t row, float* out, const Read& read) {
  const BlockShape shape = BlockOf(source.layout);
  const std::uint8_t* bytes = source.data + row * source.RowBytes();
  for (std::size_t i = 0; i < source.cols; i += shape.values, bytes += shape.bytes) {
    read(bytes, out + i);
  }
}

// A row of codes without scales of blocks; no table is stored so.
void ReadTernary(const TensorSource& source, std::size_t row, float* out) {
  std::vector<std::uint8_t> codes(source.cols);
  ReadCodes(source, row, codes.data(), nullptr);
  for (std::size_t k = 0; k < source.cols; ++k) {
    out[k] = static_cast<float>(codes[k]) - 1.0F;
  }
}

// Embeddings are read so within a step: nothing is allocated.
void ReadTernaryBlocks(const TensorSource& source, std::size_t row, float* out) {
  const std::size_t count = BlockOf(source.layout).values;
  ForBlocks(source, row, out, [&](const std::uint8_t* block, float* numbers) {
    std::uint8_t codes[kMaxBlock];
    const float scale = ReadBlock(source.layout, block, codes);
    for (std::size_t k = 0; k < count; ++k) {
      numbers[k] = scale * (static_cast<float>(codes[k]) - 1.0F);
    }
  });
}

void ReadUnscaled(const TensorSource& source, std::size_t row, float* out) {
  switch (source.layout) {
    case Layout::kBf16:
      ForBlocks(source, row, out, [](const std::uint8_t* bytes, float* number) {
        *number = WidenBf16(ReadAs<std::uint16_t>(bytes));
      });
      break;
    case Layout::kF16:
      ForBlocks(source, row, out, [](const std::uint8_t* bytes, float* number) {
        *number = WidenF16(ReadAs<std::uint16_t>(bytes));
      });
      break;
    case Layout::kF32:
      ForBlocks(source, row, out,
                [](const std::uint8_t* bytes, float* number) { *number = ReadAs<float>(bytes); });
      break;
    case Layout::kQ8:
      ForBlocks(source, row, out, ReadQ8);
      break;
    case Layout::kQ6:
      ForBlocks(source, row, out, ReadQ6);
      break;
    case Layout::kQ4:
      ForBlocks(source, row, out, ReadQ4);
      break;
    case Layout::kHfPacked:
    case Layout::kI2S:
      ReadTernary(source, row, out);
      break;
    default:
      ReadTernaryBlocks(source, row, out);
  }
}

}  // namespace

void ReadNumbers(const TensorSource& source, std::size_t row, float* out) {
  ReadUnscaled(source, source.RowInFile(row), out);
  if (source.scale != 1.0F) {
    for (std::size_t k = 0; k < source.cols; ++k) {
      out[k] *= source.scale;
    }
  }
}

}  // namespace tercet
