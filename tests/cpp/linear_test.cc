// A linear layer as the model uses it: several parts, a bias, weights on no grid, activations of
// one term and of two, against plain sums of what the file says.
#include "linear.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "fixtures.h"
#include "packing_choice.h"

namespace tercet::test {
namespace {

constexpr std::size_t kCols = 300;  // whole groups, and part of one
constexpr std::size_t kTokens = 19;
constexpr float kMultiplier = 2.0F;

const std::vector<Grid> kGrids{
    {},
    {.weight_group = 128},
    {.activation_group = 128},
    {.activation_group = 128, .has_two_terms = true},
    {.weight_group = 64, .activation_group = 128, .has_two_terms = true},
    {.weight_group = 128, .activation_group = 128, .has_two_terms = true},
    {.weight_group = 256, .activation_group = 128, .has_two_terms = true},
};

std::string Describe(const Grid& grid) {
  return At({grid.weight_group, grid.activation_group, grid.has_two_terms ? 2U : 1U});
}

// Ternary numbers in groups, with scales that float16 has, but for `num_outliers` of them.
std::vector<float> DrawnMatrix(Random& random, std::size_t rows, const Grid& grid,
                               std::size_t num_outliers) {
  const std::size_t width = grid.weight_group == 0 ? kCols : grid.weight_group;
  std::vector<float> numbers(rows * kCols);
  for (std::size_t row = 0; row < rows; ++row) {
    float scale = 0;
    for (std::size_t k = 0; k < kCols; ++k) {
      if (k % width == 0) scale = 0.25F + 0.0625F * static_cast<float>(random.Integer(0, 7));
      numbers[row * kCols + k] = scale * static_cast<float>(random.Integer(-1, 1));
    }
  }
  for (std::size_t i = 0; i < num_outliers; ++i) {
    numbers[(7 + 11 * i) % rows * kCols + 31 * i % kCols] = 9.5F + static_cast<float>(i);
  }
  return numbers;
}

TensorSource SourceOf(const std::vector<float>& numbers) {
  return {.layout = Layout::kF32,
          .data = reinterpret_cast<const std::uint8_t*>(numbers.data()),
          .num_bytes = numbers.size() * sizeof(float),
          .rows = numbers.size() / kCols,
          .cols = kCols};
}

float LargestOf(const float* x, std::size_t n) {
  float largest = 0;
  for (std::size_t k = 0; k < n; ++k) largest = std::max(largest, std::fabs(x[k]));
  return largest;
}

// How far a rounded activation may be from itself: half a step of its last term.
double HalfStep(const Grid& grid, float largest) {
  const double step = static_cast<double>(largest) / 127;
  return grid.has_two_terms ? step / 254 / 2 : step / 2;
}

// What a part's outputs should be, and how far rounding may take them from it.
void ExpectProducts(const Grid& grid, const std::vector<float>& numbers,
                    const std::vector<float>& x, float bias, const float* out, std::size_t stride,
                    const std::string& where) {
  const std::size_t rows = numbers.size() / kCols;
  for (std::size_t t = 0; t < kTokens; ++t) {
    const double half_step = HalfStep(grid, LargestOf(&x[t * kCols], kCols));
    for (std::size_t row = 0; row < rows; ++row) {
      double sum = static_cast<double>(bias);
      double magnitude = 0;
      double rounding = 0;
      for (std::size_t k = 0; k < kCols; ++k) {
        const double w = static_cast<double>(kMultiplier * numbers[row * kCols + k]);
        const double value = static_cast<double>(x[t * kCols + k]);
        sum += w * value;
        magnitude += std::fabs(w * value);
        rounding += std::fabs(w) * half_step;
      }
      const double error = std::fabs(static_cast<double>(out[t * stride + row]) - sum);
      EXPECT_EQ_AT(error <= rounding * 1.001 + magnitude * 1e-6, true, where + ", " + At({t, row}));
    }
  }
}

KERNEL_TEST(a_linear_layer_is_what_the_file_says_times_what_comes_in) {
  ThreadPool pool(2);
  for (const Grid& grid : kGrids) {
    Random random(81);
    const std::vector<std::size_t> rows{40, 33};
    const std::vector<float> first = DrawnMatrix(random, rows[0], grid, 20);
    const std::vector<float> second = DrawnMatrix(random, rows[1], grid, 0);
    const std::vector<float> x = random.Normals(kTokens * kCols);
    Activations activations(kTokens, kCols, grid);
    for (std::size_t t = 0; t < kTokens; ++t) {
      activations.Quantize(kernels, t, &x[t * kCols], kCols);
    }
    for (const WeightPacking& packing : Packings(kernels, grid)) {
      const std::string where = Describe(grid) + ", " + packing.name();
      Linear linear(packing, rows, kCols);
      linear.Pack(pool, 1, SourceOf(second), kMultiplier);  // in any order
      linear.Pack(pool, 0, SourceOf(first), kMultiplier);
      linear.SetBias(1, std::vector<float>(rows[1], 3.0F));
      EXPECT_EQ_AT(linear.num_outliers(), std::size_t{20}, where);

      std::vector<float> out(kTokens * linear.out_stride());
      linear.Multiply(kernels, pool, activations, kTokens, out.data());
      ExpectProducts(grid, first, x, 0, out.data(), linear.out_stride(), where);
      ExpectProducts(grid, second, x, 3, &out[linear.part_offset(1)], linear.out_stride(), where);

      std::vector<float> part(out.size(), -1.0F);
      linear.MultiplyPart(pool, 1, activations, kTokens, part.data());
      const float* products = &part[linear.part_offset(1)];
      ExpectProducts(grid, second, x, 0, products, linear.out_stride(), "a part, " + where);
      EXPECT_EQ_AT(part[0], -1.0F, where);  // the other one is not touched
    }
  }
}

KERNEL_TEST(a_token_has_the_same_products_alone_and_among_others) {
  ThreadPool pool(2);
  for (const Grid& grid : kGrids) {
    Random random(82);
    const std::vector<std::size_t> rows{70};
    const std::vector<float> numbers = DrawnMatrix(random, rows[0], grid, 30);
    const std::vector<float> x = random.Normals(kTokens * kCols);
    Linear linear(Packings(kernels, grid).front(), rows, kCols);
    linear.Pack(pool, 0, SourceOf(numbers), kMultiplier);
    const auto multiply = [&](std::size_t begin, std::size_t count) {
      Activations activations(count, kCols, grid);
      for (std::size_t t = 0; t < count; ++t) {
        activations.Quantize(kernels, t, &x[(begin + t) * kCols], kCols);
      }
      std::vector<float> out(count * linear.out_stride());
      linear.Multiply(kernels, pool, activations, count, out.data());
      return out;
    };
    const std::vector<float> all = multiply(0, kTokens);
    for (std::size_t t = 0; t < kTokens; ++t) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(t * linear.out_stride());
      const auto end = begin + static_cast<std::ptrdiff_t>(linear.out_stride());
      ExpectSameBits(multiply(t, 1), {begin, end}, Describe(grid) + ", " + At({t}));
    }
  }
}

KERNEL_TEST(two_terms_are_activations_to_16_bits) {
  const Grid grid{.weight_group = 64, .activation_group = 128, .has_two_terms = true};
  std::vector<float> x = Random(83).Normals(kCols);
  x[140] = 900;  // is coarse for its group alone
  std::fill(x.begin() + 256, x.end(), 0.0F);
  Activations activations(1, kCols, grid);
  activations.Quantize(kernels, 0, x.data(), kCols);

  const GroupedRows rows = activations.GroupedView(0, 1, kCols);
  EXPECT_EQ(rows.num_groups, std::size_t{5});
  for (std::size_t k = 0; k < kCols; ++k) {
    double value = 0;
    for (std::size_t term = 0; term < 2; ++term) {
      value += static_cast<double>(rows.values[term * rows.stride + k]) *
               static_cast<double>(rows.scales[term * rows.num_groups + k / 64]);
    }
    const std::size_t begin = k / 128 * 128;
    const double allowed = HalfStep(grid, LargestOf(&x[begin], std::min(kCols - begin, 128UL)));
    EXPECT_EQ_AT(std::fabs(value - static_cast<double>(x[k])) <= allowed * 1.01, true, At({k}));
  }
  for (std::size_t i = 0; i < 2 * rows.num_groups; ++i) {
    const std::int8_t* values = rows.values + i / rows.num_groups * rows.stride;
    std::int32_t sum = 0;
    for (std::size_t k = i % rows.num_groups * 64, end = k + 64; k < end; ++k) sum += values[k];
    EXPECT_EQ_AT(rows.sums[i], sum, At({i}));
  }
}

TEST(MoreWeightsOnNoGridThanOneIn256AreRefused) {
  Random random(84);
  ThreadPool pool(1);
  const std::vector<std::size_t> rows{32};  // 9600 weights
  std::vector<float> numbers = DrawnMatrix(random, rows[0], {}, 0);
  for (std::size_t i = 0; i < 38; ++i) numbers[i * 250] = 5;
  std::string message;
  try {
    Linear linear(Packings(Reference(), {}).front(), rows, kCols);
    linear.Pack(pool, 0, SourceOf(numbers), 1);
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  EXPECT_EQ(message,
            "38 of 9600 weights are not 0 or the magnitude of their group; at most one in "
            "256 may be");
}

}  // namespace
}  // namespace tercet::test
