// Ternary × int8 with a scale for every group of columns: every set against the formula of the
// contract, on every size around the edges of tiles and groups.
#include <cmath>

#include "fixtures.h"

namespace tercet::test {
namespace {

constexpr float kUntouched = -12345.0f;

// float16 bits of numbers whose magnitude is around one; the last few are below the normal ones.
uint16_t DrawnHalf(Random& random) {
  const int magnitude =
      random.Integer(0, 9) == 0 ? random.Integer(0, 0x3ff) : random.Integer(0x3400, 0x4400);
  return static_cast<uint16_t>(magnitude | (random.Integer(0, 1) << 15));
}

double ValueOf(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const double mantissa = (half & 1023) + (exponent == 0 ? 0 : 1024);
  const double value = std::ldexp(mantissa, (exponent == 0 ? 1 : exponent) - 25);
  return half >> 15 != 0 ? -value : value;
}

// A matrix and tokens, plain and as the kernels want them.
struct Case {
  size_t rows;
  size_t cols;
  size_t group;
  size_t tokens;
  size_t num_groups = NumGroups(cols, group);
  size_t stride = RoundUp(cols, group);
  size_t num_tiles = RoundUp(rows, kTileRows) / kTileRows;
  std::vector<uint8_t> codes = std::vector<uint8_t>(num_tiles * kTileRows * cols, 1);
  std::vector<uint16_t> halves = std::vector<uint16_t>(num_tiles * kTileRows * num_groups, 0);
  std::vector<float> row_scales;
  Aligned<int8_t> values{tokens * stride};
  std::vector<float> scales;
  std::vector<int32_t> sums = std::vector<int32_t>(tokens * num_groups, 0);

  Case(Random& random, size_t rows_, size_t cols_, size_t group_, size_t tokens_)
      : rows(rows_), cols(cols_), group(group_), tokens(tokens_) {
    for (size_t i = 0; i < rows * cols; ++i) {
      codes[i] = static_cast<uint8_t>(random.Integer(0, 2));
    }
    for (size_t i = 0; i < rows * num_groups; ++i) halves[i] = DrawnHalf(random);
    row_scales = random.Normals(num_tiles * kTileRows);
    scales = random.Normals(tokens * num_groups);
    for (size_t m = 0; m < tokens; ++m) {
      for (size_t k = 0; k < cols; ++k) Set(m, k, random.Integer(-128, 127));
    }
  }

  void Set(size_t m, size_t k, int value) {
    int32_t& sum = sums[m * num_groups + k / group];
    sum += value - values[m * stride + k];
    values[m * stride + k] = static_cast<int8_t>(value);
  }

  std::vector<float> Product(const GroupedPacking& packing, size_t tile_begin,
                             size_t tile_end) const {
    const Aligned<uint8_t> packed(packing.bytes(rows, cols, group), 0xEE);
    for (size_t tile = 0; tile < num_tiles; ++tile) {
      packing.pack(&codes[tile * kTileRows * cols], &halves[tile * kTileRows * num_groups], cols,
                   group, tile, packed.get());
    }
    const GroupedMatrix w{packed.get(), row_scales.data(), rows, cols, group};
    const GroupedRows x{values.get(), scales.data(), sums.data(), tokens, stride, num_groups};
    std::vector<float> out(tokens * rows, kUntouched);
    packing.gemm(&w, &x, tile_begin, tile_end, out.data(), rows);
    return out;
  }

  std::vector<float> Wanted(size_t tile_begin, size_t tile_end) const {
    std::vector<float> out(tokens * rows, kUntouched);
    for (size_t m = 0; m < tokens; ++m) {
      for (size_t n = tile_begin * kTileRows; n < std::min(rows, tile_end * kTileRows); ++n) {
        float acc = 0.0f;
        for (size_t g = 0; g < num_groups; ++g) {
          int64_t sum = 0;
          for (size_t k = g * group; k < std::min(cols, (g + 1) * group); ++k) {
            sum += values[m * stride + k] * (codes[n * cols + k] - 1);
          }
          const auto half = static_cast<float>(ValueOf(halves[n * num_groups + g]));
          acc = std::fma(static_cast<float>(sum), half * scales[m * num_groups + g], acc);
        }
        out[m * rows + n] = acc * row_scales[n];
      }
    }
    return out;
  }
};

void ExpectRight(const GroupedPacking& packing, Random& random, size_t rows, size_t cols,
                 size_t group, size_t tokens) {
  const Case one(random, rows, cols, group, tokens);
  ExpectSameBits(one.Product(packing, 0, one.num_tiles), one.Wanted(0, one.num_tiles),
                 At({rows, cols, group, tokens}));
}

}  // namespace

// A test of one packing, which runs for every grouped packing of every kernel set.
#define GROUPED_TEST(name)                                      \
  static void name##_with(const GroupedPacking& packing);       \
  KERNEL_TEST(name) {                                           \
    for (size_t i = 0; i < kernels.num_grouped_packings; ++i) { \
      name##_with(kernels.grouped_packings[i]);                 \
    }                                                           \
  }                                                             \
  static void name##_with(const GroupedPacking& packing)

GROUPED_TEST(grouped_products_are_exact_for_every_number_of_rows) {
  Random random(61);
  for (size_t rows = 1; rows <= 70; ++rows) {
    ExpectRight(packing, random, rows, 128, 64, rows % 5 + 1);
  }
}

GROUPED_TEST(grouped_products_are_exact_for_every_number_of_columns) {
  Random random(62);
  for (size_t cols = 1; cols <= 300; cols += cols < 140 ? 1 : 7) {
    for (const size_t group : {64U, 128U, 192U, 256U}) {
      ExpectRight(packing, random, 37, cols, group, cols % 7 + 1);
    }
  }
}

GROUPED_TEST(grouped_products_are_exact_for_every_number_of_tokens) {
  Random random(63);
  for (size_t tokens = 1; tokens <= 70; ++tokens) {
    ExpectRight(packing, random, 70, 384, 128, tokens);
  }
}

GROUPED_TEST(grouped_products_of_extremes_do_not_overflow) {
  Random random(64);
  for (const int value : {-128, 127}) {
    for (const uint8_t code : {uint8_t{0}, uint8_t{2}}) {
      for (const size_t tokens : {size_t{1}, size_t{5}, size_t{40}}) {
        Case one(random, 33, 512, 256, tokens);
        std::fill(one.codes.begin(), one.codes.end(), code);
        for (size_t m = 0; m < tokens; ++m) {
          for (size_t k = 0; k < one.cols; ++k) one.Set(m, k, value);
        }
        ExpectSameBits(one.Product(packing, 0, 2), one.Wanted(0, 2),
                       At({static_cast<size_t>(value + 128), code, tokens}));
      }
    }
  }
}

GROUPED_TEST(a_range_of_tiles_touches_only_its_own_rows) {
  Random random(65);
  for (const size_t tokens : {1U, 3U, 20U}) {
    const Case one(random, 5 * kTileRows - 9, 192, 64, tokens);
    for (size_t begin = 0; begin < 5; ++begin) {
      for (size_t end = begin + 1; end <= 5; ++end) {
        ExpectSameBits(one.Product(packing, begin, end), one.Wanted(begin, end),
                       At({begin, end, tokens}));
      }
    }
  }
}

GROUPED_TEST(bytes_of_grouped_matrices_are_whole_tiles) {
  for (const size_t group : {64U, 128U, 256U}) {
    for (const size_t cols : {1U, 64U, 300U, 4096U}) {
      const size_t tile_bytes = packing.bytes(1, cols, group);
      EXPECT_EQ(tile_bytes % kByteAlign, size_t{0});
      EXPECT_EQ(packing.bytes(33, cols, group), 2 * tile_bytes);
      EXPECT_EQ(packing.bytes(320, cols, group), 10 * tile_bytes);
    }
  }
}

}  // namespace tercet::test
