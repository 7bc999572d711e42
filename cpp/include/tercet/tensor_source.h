// A matrix as it lies in a checkpoint's file: bytes, and what they mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tercet {

// How rows are stored. Blocks run along a row, except those of i2_s.
enum class Layout {
  kHfPacked,  // [rows / 4][cols]: bits 2i..2i+1 of row r hold row r + i * rows / 4, plus one
  kI2S,       // codes in blocks of 128 over the flattened matrix, 32 bytes each
  kTq1,       // 256 weights: 48 + 4 bytes of trits, a float16 scale
  kTq2,       // 256 weights: 64 bytes of codes, a float16 scale
  kQ2Of64,    // a float16 scale, 16 bytes of codes
  kQ2Of128,   // a float16 scale, 32 bytes of codes
  kPtq1,      // 128 weights: 24 + 2 bytes of trits, a float16 scale
  kBf16,
  kF16,
  kF32,
  kQ8,  // 32 numbers: a float16 scale, int8 each
  kQ6,  // 256 numbers: 128 + 64 bytes of 6-bit numbers, 16 int8 scales, a float16 scale
  kQ4,  // 32 numbers: a float16 scale, 4 bits each
};

// Throws std::invalid_argument on a name that is none of hf_packed, i2_s, tq1_0, tq2_0, q2_0_g64,
// q2_0_g128, ptq1_0, bf16, f16, f32, q8_0, q6_k and q4_0.
Layout ParseLayout(std::string_view name);

struct TensorSource {
  Layout layout = Layout::kBf16;
  const std::uint8_t* data = nullptr;
  std::size_t num_bytes = 0;
  std::size_t rows = 0;
  std::size_t cols = 0;
  float scale = 1;  // of every value
  // Rows of each head of this size lie in pairs (2 i, 2 i + 1) where half-split rotation wants
  // (i, i + half), as in GGUF files of `llama`; 0: they do not.
  std::size_t rope_head_dim = 0;
  std::size_t row_stride = 0;  // bytes, for rows of blocks that are not dense; 0: dense

  // Throws std::invalid_argument unless there are as many bytes as the layout needs.
  void Check() const;

  // Bytes from a row to the next, of layouts whose rows are sequences of blocks.
  std::size_t RowBytes() const;

  // The row of the file that is row `row` of the matrix.
  std::size_t RowInFile(std::size_t row) const;
};

}  // namespace tercet
