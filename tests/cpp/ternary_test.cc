// Ternary × int8: every set against sums written here, on every size around a tile's edges.
#include <cmath>

#include "fixtures.h"

namespace tercet::test {
namespace {

struct Codes {
  size_t rows;
  size_t cols;
  std::vector<uint8_t> codes;  // [rows][cols]

  static Codes Drawn(Random& random, size_t rows, size_t cols) {
    Codes w{rows, cols, std::vector<uint8_t>(rows * cols)};
    for (uint8_t& code : w.codes) code = static_cast<uint8_t>(random.Integer(0, 2));
    return w;
  }
  static Codes Filled(size_t rows, size_t cols, uint8_t code) {
    return {rows, cols, std::vector<uint8_t>(rows * cols, code)};
  }
  size_t num_tiles() const { return RoundUp(rows, kTileRows) / kTileRows; }
};

Aligned<uint8_t> Packed(const TernaryPacking& packing, const Codes& w) {
  Aligned<uint8_t> packed(packing.bytes(w.rows, w.cols), 0xEE);
  for (size_t tile = 0; tile < w.num_tiles(); ++tile) {
    std::vector<uint8_t> codes(kTileRows * w.cols, 1);
    for (size_t n = tile * kTileRows; n < std::min(w.rows, (tile + 1) * kTileRows); ++n) {
      std::memcpy(&codes[(n - tile * kTileRows) * w.cols], &w.codes[n * w.cols], w.cols);
    }
    packing.pack(codes.data(), w.rows, w.cols, tile, packed.get());
  }
  return packed;
}

struct Activations {
  size_t num_rows;
  size_t stride;
  Aligned<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;

  Activations(size_t num_rows_, size_t cols)
      : num_rows(num_rows_),
        stride(RoundUp(cols, kColumnAlign)),
        values(num_rows * stride),
        scales(num_rows, 1.0f),
        sums(num_rows, 0) {}

  static Activations Drawn(Random& random, size_t num_rows, size_t cols) {
    Activations x(num_rows, cols);
    for (size_t m = 0; m < num_rows; ++m) {
      x.scales[m] = random.Normal();
      for (size_t k = 0; k < cols; ++k) x.Set(m, k, random.Integer(-128, 127));
    }
    return x;
  }
  static Activations Filled(size_t num_rows, size_t cols, int value) {
    Activations x(num_rows, cols);
    for (size_t m = 0; m < num_rows; ++m) {
      for (size_t k = 0; k < cols; ++k) x.Set(m, k, value);
    }
    return x;
  }
  void Set(size_t m, size_t k, int value) {
    values[m * stride + k] = static_cast<int8_t>(value);
    sums[m] += value;
  }
  Int8Rows rows() const { return {values.get(), scales.data(), sums.data(), num_rows, stride}; }
};

constexpr float kUntouched = -12345.0f;

std::vector<float> Product(const TernaryPacking& packing, const Codes& w, const Activations& x,
                           const std::vector<float>& row_scales, size_t tile_begin, size_t tile_end,
                           size_t out_stride) {
  const Aligned<uint8_t> packed = Packed(packing, w);
  const TernaryMatrix matrix{packed.get(), row_scales.data(), w.rows, w.cols};
  const Int8Rows rows = x.rows();
  std::vector<float> out(x.num_rows * out_stride, kUntouched);
  packing.gemm(&matrix, &rows, tile_begin, tile_end, out.data(), out_stride);
  return out;
}

std::vector<float> Wanted(const Codes& w, const Activations& x,
                          const std::vector<float>& row_scales, size_t tile_begin, size_t tile_end,
                          size_t out_stride) {
  std::vector<float> out(x.num_rows * out_stride, kUntouched);
  for (size_t m = 0; m < x.num_rows; ++m) {
    for (size_t n = tile_begin * kTileRows; n < std::min(w.rows, tile_end * kTileRows); ++n) {
      int64_t sum = 0;
      for (size_t k = 0; k < w.cols; ++k) {
        sum += x.values[m * x.stride + k] * (w.codes[n * w.cols + k] - 1);
      }
      out[m * out_stride + n] = static_cast<float>(sum) * (x.scales[m] * row_scales[n]);
    }
  }
  return out;
}

void ExpectRight(const TernaryPacking& packing, Random& random, size_t rows, size_t cols,
                 size_t tokens) {
  const Codes w = Codes::Drawn(random, rows, cols);
  const Activations x = Activations::Drawn(random, tokens, cols);
  const std::vector<float> row_scales = random.Normals(RoundUp(rows, kTileRows));
  ExpectSameBits(Product(packing, w, x, row_scales, 0, w.num_tiles(), rows),
                 Wanted(w, x, row_scales, 0, w.num_tiles(), rows), At({rows, cols, tokens}));
}

}  // namespace

// A test of one packing, which runs for every packing of every kernel set.
#define PACKING_TEST(name)                                                              \
  static void name##_with(const TernaryPacking& packing);                               \
  KERNEL_TEST(name) {                                                                   \
    for (size_t i = 0; i < kernels.num_packings; ++i) name##_with(kernels.packings[i]); \
  }                                                                                     \
  static void name##_with(const TernaryPacking& packing)

PACKING_TEST(ternary_gemm_is_exact_for_every_number_of_rows) {
  Random random(1);
  for (size_t rows = 1; rows <= 70; ++rows) ExpectRight(packing, random, rows, 72, rows % 5 + 1);
}

PACKING_TEST(ternary_gemm_is_exact_for_every_number_of_columns) {
  Random random(2);
  for (size_t cols = 1; cols <= 200; ++cols) ExpectRight(packing, random, 37, cols, cols % 5 + 1);
}

PACKING_TEST(ternary_gemm_is_exact_for_every_number_of_tokens) {
  Random random(3);
  for (size_t tokens = 1; tokens <= 70; ++tokens) ExpectRight(packing, random, 70, 85, tokens);
}

PACKING_TEST(ternary_gemm_is_exact_for_many_tiles_at_once) {
  Random random(4);
  for (const size_t tiles : {4u, 5u, 6u, 7u, 9u, 17u}) {
    for (const size_t tokens : {1u, 2u, 3u, 4u, 6u, 7u, 13u, 33u}) {
      ExpectRight(packing, random, tiles * kTileRows - 3, 130, tokens);
    }
  }
}

// Sets unpack some columns at a time for some tokens at a time: here both have a remainder.
PACKING_TEST(ternary_gemm_is_exact_for_more_tokens_and_columns_than_are_taken_at_once) {
  Random random(6);
  for (const size_t tokens : {5u, 31u, 100u, 257u, 290u}) {
    ExpectRight(packing, random, 37, 1401, tokens);
  }
}

PACKING_TEST(ternary_gemm_never_saturates) {
  constexpr size_t kCols = 6912;
  for (const int value : {-128, 127}) {
    for (const uint8_t code : {uint8_t{0}, uint8_t{1}, uint8_t{2}}) {
      const Codes w = Codes::Filled(3, kCols, code);
      const std::vector<float> row_scales(kTileRows, 1.0f);
      const float sum = static_cast<float>(value * (code - 1) * int{kCols});
      for (const size_t tokens : {2u, 9u, 33u}) {
        const Activations x = Activations::Filled(tokens, kCols, value);
        ExpectSameBits(Product(packing, w, x, row_scales, 0, 1, 3),
                       std::vector<float>(3 * tokens, sum), At({tokens}));
      }
    }
  }
}

PACKING_TEST(ternary_gemm_does_not_take_off_columns_that_are_not_there) {
  const Activations x = Activations::Filled(1, 1, -128);
  const Codes w = Codes::Filled(1, 1, 2);
  ExpectSameBits(Product(packing, w, x, std::vector<float>(kTileRows, 1.0f), 0, 1, 1), {-128.0f},
                 "");
}

PACKING_TEST(ternary_gemm_writes_the_rows_of_its_tiles_and_nothing_else) {
  Random random(5);
  constexpr size_t kRows = 9 * kTileRows + 11;
  const Codes w = Codes::Drawn(random, kRows, 90);
  const std::vector<float> row_scales = random.Normals(RoundUp(kRows, kTileRows));
  for (const size_t tokens : {1u, 5u, 14u}) {
    const Activations x = Activations::Drawn(random, tokens, 90);
    for (size_t begin = 0; begin <= w.num_tiles(); ++begin) {
      for (size_t end = begin; end <= w.num_tiles(); ++end) {
        ExpectSameBits(Product(packing, w, x, row_scales, begin, end, kRows + 7),
                       Wanted(w, x, row_scales, begin, end, kRows + 7), At({tokens, begin, end}));
      }
    }
  }
}

PACKING_TEST(ternary_tiles_take_equal_shares_of_the_memory) {
  for (const size_t cols : {1u, 64u, 100u, 2560u}) {
    const size_t tile_bytes = packing.bytes(1, cols);
    EXPECT_EQ(tile_bytes % kByteAlign, size_t{0});
    EXPECT_EQ(packing.bytes(33, cols), 2 * tile_bytes);
    EXPECT_EQ(packing.bytes(320, cols), 10 * tile_bytes);
  }
}

}  // namespace tercet::test
