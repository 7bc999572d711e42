// The head in two planes of nibbles: packing, both products, and the screen, against plain loops.
#include <algorithm>
#include <cmath>

#include "fixtures.h"
#include "kernels/reference_math.h"

namespace tercet::test {
namespace {

// A packed head and some quantised tokens.
struct Case {
  size_t rows, cols, tokens;
  Aligned<uint8_t> high, low, values;
  std::vector<HeadRow> facts;
  std::vector<float> row_scales, scales;
  std::vector<int32_t> sums;

  Case(const Kernels& kernels, const std::vector<uint16_t>& table, size_t num_rows, size_t num_cols,
       const std::vector<float>& x)
      : rows(num_rows),
        cols(num_cols),
        tokens(x.size() / num_cols),
        high(HeadPlaneBytes(num_rows, num_cols), 0xEE),
        low(HeadPlaneBytes(num_rows, num_cols), 0xEE),
        values(tokens * 2 * RoundUp(num_cols, kHeadAlign), 0xEE),
        facts(num_rows),
        row_scales(RoundUp(num_rows, kTileRows)),
        scales(tokens),
        sums(tokens) {
    for (size_t n = 0; n < rows; ++n) {
      const size_t place = HeadRowPlace(n, cols);
      kernels.head_pack(&table[n * cols], cols, high.get() + place, low.get() + place, &facts[n]);
      row_scales[n] = facts[n].scale;
    }
    for (size_t m = 0; m < tokens; ++m) {
      kernels.head_quantize(&x[m * cols], cols, values.get() + m * stride(), &scales[m], &sums[m]);
    }
  }

  size_t stride() const { return 2 * RoundUp(cols, kHeadAlign); }
  WideRows wide() const { return {values.get(), scales.data(), sums.data(), tokens, stride()}; }
  WideRows one(size_t m) const {
    return {values.get() + m * stride(), &scales[m], &sums[m], 1, stride()};
  }
  HeadMatrix matrix() const { return {high.get(), low.get(), row_scales.data(), rows, cols}; }
  HeadMatrix low_as_high() const { return {low.get(), nullptr, nullptr, rows, cols}; }
  size_t num_tiles() const { return RoundUp(rows, kTileRows) / kTileRows; }
};

// The weights and activations of a case as integers, as the contract words them.
struct Integers {
  std::vector<int64_t> w, q;
  Integers(const std::vector<uint16_t>& table, size_t rows, size_t cols,
           const std::vector<float>& x) {
    for (size_t n = 0; n < rows; ++n) {
      float a = 0;
      for (size_t k = 0; k < cols; ++k) a = std::max(a, std::fabs(Widened(table[n * cols + k])));
      for (size_t k = 0; k < cols; ++k) {
        w.push_back(a == 0 ? 0 : std::lrint(Widened(table[n * cols + k]) * (127.0f / a)));
      }
    }
    for (size_t m = 0; m < x.size() / cols; ++m) {
      float a = 1e-5f;
      for (size_t k = 0; k < cols; ++k) a = std::max(a, std::fabs(x[m * cols + k]));
      const float s = static_cast<float>(HeadLimit(cols)) / a;
      for (size_t k = 0; k < cols; ++k) q.push_back(std::lrint(x[m * cols + k] * s));
    }
  }
};

void ExpectRight(const Kernels& kernels, Random& random, size_t rows, size_t cols, size_t tokens) {
  const std::vector<uint16_t> table = random.Bf16(rows * cols);
  const std::vector<float> x = random.Normals(tokens * cols);
  const Case c(kernels, table, rows, cols, x);
  const Integers integers(table, rows, cols, x);
  const HeadMatrix matrix = c.matrix();
  const WideRows wide = c.wide();
  std::vector<float> logits(tokens * rows);
  std::vector<int32_t> high(tokens * rows), low(tokens * rows);
  const HeadMatrix low_as_high = c.low_as_high();
  kernels.head_gemm(&matrix, &wide, 0, c.num_tiles(), logits.data(), rows);
  kernels.head_dots(&matrix, &wide, 0, c.num_tiles(), high.data(), rows);
  kernels.head_dots(&low_as_high, &wide, 0, c.num_tiles(), low.data(), rows);
  for (size_t m = 0; m < tokens; ++m) {
    const WideRows one = c.one(m);
    for (size_t n = 0; n < rows; ++n) {
      const std::string where = At({rows, cols, tokens, m, n});
      int64_t exact = 0, of_high = 0, of_low = 0;
      for (size_t k = 0; k < cols; ++k) {
        const int64_t w = integers.w[n * cols + k];
        const int64_t q = integers.q[m * cols + k];
        exact += q * w;
        of_high += q * ((w + 128) >> 4);
        of_low += q * ((w + 128) & 15);
      }
      EXPECT_EQ_AT(high[m * rows + n], of_high, where);
      EXPECT_EQ_AT(low[m * rows + n], of_low, where);
      EXPECT_EQ_AT(kernels.head_dot(&table[n * cols], cols, &one), exact, where);
      EXPECT_EQ_AT(logits[m * rows + n],
                   static_cast<float>(exact) * (c.scales[m] * c.row_scales[n]), where);
    }
  }
}

// A head whose rows are longer or shorter, with sums, and all that a screen needs.
struct ScreenCase {
  std::vector<int32_t> sums;
  std::vector<float> scales, margins;

  ScreenCase(Random& random, size_t n) : sums(n), scales(n), margins(n) {
    for (size_t i = 0; i < n; ++i) {
      sums[i] = static_cast<int32_t>(random.Normal() * 1e5f);
      scales[i] = 0.9f + 0.01f * static_cast<float>(random.Integer(0, 20));
      margins[i] = 0.5f + 0.1f * static_cast<float>(random.Integer(0, 9));
    }
  }

  Screen screen(size_t begin, size_t end, const DrawKey* key) const {
    return {.sums = sums.data(),
            .scales = scales.data(),
            .margins = margins.data(),
            .offset = -777,
            .lift = 0.5f,
            .scale = 1e-6f,
            .reach = 0.3f,
            .inverse_temperature = key == nullptr ? 1.0f : 1.25f,
            .key = key,
            .begin = begin,
            .end = end};
  }
};

}  // namespace

KERNEL_TEST(head_products_are_exact_for_every_number_of_rows) {
  Random random(40);
  for (size_t rows = 1; rows <= 70; ++rows) ExpectRight(kernels, random, rows, 72, rows % 3 + 1);
}

KERNEL_TEST(head_products_are_exact_for_every_number_of_columns) {
  Random random(41);
  for (size_t cols = 1; cols <= 270; ++cols) ExpectRight(kernels, random, 5, cols, cols % 3 + 1);
}

KERNEL_TEST(head_products_are_exact_for_every_number_of_tokens) {
  Random random(42);
  for (size_t tokens = 1; tokens <= 33; ++tokens) ExpectRight(kernels, random, 70, 140, tokens);
}

KERNEL_TEST(head_gemm_holds_the_largest_sum_there_is) {
  for (const size_t cols : {64u, 2560u, 6912u, 20000u}) {
    for (const float sign : {1.0f, -1.0f}) {
      const std::vector<uint16_t> table(cols, 0x3f80);  // 1.0
      const std::vector<float> x(cols, sign);
      const Case c(kernels, table, 1, cols, x);
      const HeadMatrix matrix = c.matrix();
      const WideRows wide = c.wide();
      float logit = 0;
      kernels.head_gemm(&matrix, &wide, 0, 1, &logit, 1);
      const float limit = static_cast<float>(HeadLimit(cols));
      const float sum =
          static_cast<float>(int64_t{HeadLimit(cols)} * 127 * static_cast<int64_t>(cols));
      EXPECT_EQ_AT(logit, sign * sum * ((1.0f / limit) * (1.0f / 127.0f)), At({cols}));
      EXPECT_EQ_AT(static_cast<float>(kernels.head_dot(table.data(), cols, &wide)), sign * sum,
                   At({cols}));
    }
  }
}

KERNEL_TEST(head_products_write_their_rows_and_nothing_else) {
  Random random(43);
  constexpr size_t kRows = 150;  // five tiles, the last of 22 rows
  const std::vector<uint16_t> table = random.Bf16(kRows * 40);
  const Case c(kernels, table, kRows, 40, random.Normals(2 * 40));
  const HeadMatrix matrix = c.matrix();
  const WideRows wide = c.wide();
  std::vector<float> whole(2 * kRows);
  kernels.head_gemm(&matrix, &wide, 0, 5, whole.data(), kRows);
  std::vector<int32_t> dots(2 * kRows);
  kernels.head_dots(&matrix, &wide, 0, 5, dots.data(), kRows);
  for (size_t begin = 0; begin <= 5; ++begin) {
    for (size_t end = begin; end <= 5; ++end) {
      std::vector<float> part(2 * kRows, -7.0f);
      std::vector<int32_t> part_dots(2 * kRows, -7);
      kernels.head_gemm(&matrix, &wide, begin, end, part.data(), kRows);
      kernels.head_dots(&matrix, &wide, begin, end, part_dots.data(), kRows);
      for (size_t i = 0; i < 2 * kRows; ++i) {
        const size_t tile = i % kRows / kTileRows;
        const bool is_written = tile >= begin && tile < end;
        EXPECT_EQ_AT(part[i], is_written ? whole[i] : -7.0f, At({begin, end, i}));
        EXPECT_EQ_AT(part_dots[i], is_written ? dots[i] : -7, At({begin, end, i}));
      }
    }
  }
}

KERNEL_TEST(head_pack_finds_out_what_the_reference_does) {
  Random random(44);
  for (size_t cols = 1; cols <= 300; cols += 7) {
    std::vector<uint16_t> row = random.Bf16(cols);
    if (cols % 5 == 0) std::fill(row.begin(), row.end(), uint16_t{0});
    HeadRow facts{}, wanted{};
    Aligned<uint8_t> high(HeadTileBytes(cols)), low(HeadTileBytes(cols));
    Aligned<uint8_t> wanted_high(HeadTileBytes(cols)), wanted_low(HeadTileBytes(cols));
    kernels.head_pack(row.data(), cols, high.get(), nullptr, &facts);
    kernels.head_pack(row.data(), cols, nullptr, low.get(), &facts);
    Reference().head_pack(row.data(), cols, wanted_high.get(), wanted_low.get(), &wanted);
    EXPECT(std::equal(high.get(), high.get() + high.size(), wanted_high.get()));
    EXPECT(std::equal(low.get(), low.get() + low.size(), wanted_low.get()));
    EXPECT_EQ(facts.scale, wanted.scale);
    EXPECT_EQ(facts.squares, wanted.squares);
    EXPECT_EQ(facts.products, wanted.products);
    EXPECT_EQ(facts.middles, wanted.middles);
  }
}

KERNEL_TEST(a_screen_keeps_what_could_be_above_every_lower_bound) {
  Random random(45);
  for (size_t n = 1; n <= 700; n += 13) {
    const ScreenCase c(random, n);
    const DrawKey key{.seed = n, .choice = 1, .position = 2};
    for (const DrawKey* noise : {static_cast<const DrawKey*>(nullptr), &key}) {
      const size_t begin = n > 200 ? 64 : 0;
      const Screen screen = c.screen(begin, n, noise);
      std::vector<uint32_t> tokens(n), wanted(n);
      std::vector<float> uppers(n), wanted_uppers(n);
      float bar = 0, wanted_bar = 0;
      const size_t count = kernels.screen(&screen, tokens.data(), uppers.data(), &bar);
      const size_t wanted_count =
          Reference().screen(&screen, wanted.data(), wanted_uppers.data(), &wanted_bar);
      EXPECT_EQ(count, wanted_count);
      EXPECT_EQ(bar, wanted_bar);
      tokens.resize(count), wanted.resize(wanted_count);
      uppers.resize(count), wanted_uppers.resize(wanted_count);
      EXPECT(tokens == wanted);
      ExpectSameBits(uppers, wanted_uppers, At({n}));
      EXPECT(count >= 1);
    }
  }
}

}  // namespace tercet::test
