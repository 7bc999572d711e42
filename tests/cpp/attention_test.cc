// Attention over a shuffled block table in which every unused number is NaN.
#include <cmath>

#include "fixtures.h"

namespace tercet::test {
namespace {

struct Problem {
  size_t group;
  size_t head_dim;
  size_t num_keys;
  std::vector<float> queries;
  std::vector<uint16_t> keys;    // [num_keys][head_dim]
  std::vector<uint16_t> values;  // [num_keys][head_dim]
  std::vector<int32_t> block_table;
  std::vector<uint16_t> cache;

  static constexpr uint16_t kNan = 0x7fc1;

  Problem(Random& random, size_t group_, size_t head_dim_, size_t num_keys_)
      : group(group_),
        head_dim(head_dim_),
        num_keys(num_keys_),
        queries(random.Normals(group * head_dim)),
        keys(random.Bf16(num_keys * head_dim)),
        values(random.Bf16(num_keys * head_dim)) {
    const size_t num_blocks = RoundUp(num_keys, kBlockSize) / kBlockSize;
    for (size_t b = 0; b < num_blocks + 2; ++b) block_table.push_back(static_cast<int32_t>(b));
    random.Shuffle(block_table);
    block_table.resize(num_blocks);
    cache.assign((num_blocks + 2) * block_stride(), kNan);
    for (size_t j = 0; j < num_keys; ++j) {
      uint16_t* block = &cache[static_cast<size_t>(block_table[j / kBlockSize]) * block_stride()];
      for (size_t d = 0; d < head_dim; ++d) {
        block[kKeyOffset + d * kBlockSize + j % kBlockSize] = keys[j * head_dim + d];
        block[value_offset() + (j % kBlockSize) * head_dim + d] = values[j * head_dim + d];
      }
    }
  }

  static constexpr size_t kKeyOffset = 32;
  size_t value_offset() const { return kKeyOffset + head_dim * kBlockSize; }
  size_t block_stride() const { return value_offset() + head_dim * kBlockSize; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

  std::vector<float> Run(const Kernels& kernels) const {
    std::vector<float> scores(group * RoundUp(num_keys, kBlockSize), NAN);
    std::vector<float> out(group * head_dim, NAN);
    const AttentionTask task{.queries = queries.data(),
                             .group = group,
                             .head_dim = head_dim,
                             .cache = cache.data(),
                             .block_table = block_table.data(),
                             .block_stride = block_stride(),
                             .key_offset = kKeyOffset,
                             .value_offset = value_offset(),
                             .num_keys = num_keys,
                             .scale = scale(),
                             .scores = scores.data(),
                             .out = out.data(),
                             .kv_type = kKvBf16};
    kernels.attention(&task);
    return out;
  }
};

}  // namespace

KERNEL_TEST(attention_is_the_reference_for_every_number_of_keys) {
  Random random(30);
  for (size_t num_keys = 1; num_keys <= 150; ++num_keys) {
    const Problem problem(random, num_keys % 5 + 1, 64, num_keys);
    ExpectSameBits(problem.Run(kernels), problem.Run(Reference()), At({num_keys}));
  }
}

KERNEL_TEST(attention_is_the_reference_for_every_group_and_head_dim) {
  Random random(31);
  for (const size_t head_dim : {16u, 32u, 48u, 80u, 128u, 144u, 256u}) {
    for (size_t group = 1; group <= 9; ++group) {
      const Problem problem(random, group, head_dim, 37);
      ExpectSameBits(problem.Run(kernels), problem.Run(Reference()), At({head_dim, group}));
    }
  }
}

KERNEL_TEST(attention_to_one_key_is_its_value) {
  Random random(32);
  const Problem problem(random, 1, 16, 1);
  std::vector<float> wanted(16);
  for (size_t d = 0; d < 16; ++d) wanted[d] = Widened(problem.values[d]);
  ExpectSameBits(problem.Run(kernels), wanted, "");
}

// A score errs by head_dim + 1 half units of the sum of its products' magnitudes, a weight by as
// much relative to itself (e^x has slope e^x) and 2e-7 for Exp; the mixed values are a mean, so
// errors of the weights count twice (numerator and sum), and num_keys fused additions once.
KERNEL_TEST(attention_agrees_with_double_precision) {
  Random random(33);
  for (const size_t num_keys : {1u, 17u, 70u, 300u}) {
    const Problem problem(random, 4, 128, num_keys);
    const std::vector<float> actual = problem.Run(kernels);
    for (size_t h = 0; h < problem.group; ++h) {
      std::vector<double> weights(num_keys);
      double largest = -1e30;
      double magnitude = 0.0;
      for (size_t j = 0; j < num_keys; ++j) {
        double sum = 0.0;
        for (size_t d = 0; d < 128; ++d) {
          const double product =
              double{problem.queries[h * 128 + d]} * double{Widened(problem.keys[j * 128 + d])};
          weights[j] += product * double{problem.scale()};
          sum += std::fabs(product) * double{problem.scale()};
        }
        largest = std::fmax(largest, weights[j]);
        magnitude = std::fmax(magnitude, sum);
      }
      double total = 0.0;
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      const double of_weights = magnitude * (128 + 2) * 0x1p-24 + 2e-7;
      const double tolerance = 2 * of_weights + static_cast<double>(num_keys + 8) * 0x1p-24;
      for (size_t d = 0; d < 128; ++d) {
        double wanted = 0.0;
        double sum = 0.0;
        for (size_t j = 0; j < num_keys; ++j) {
          const double part = weights[j] / total * double{Widened(problem.values[j * 128 + d])};
          wanted += part;
          sum += std::fabs(part);
        }
        EXPECT(std::fabs(double{actual[h * 128 + d]} - wanted) <= sum * tolerance);
      }
    }
  }
}

}  // namespace tercet::test
