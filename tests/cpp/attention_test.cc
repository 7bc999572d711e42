// Attention over a shuffled block table in which every unused number is NaN.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "fixtures.h"

namespace tercet::test {
namespace {

constexpr KvType kTypes[] = {kKvBf16, kKvFloat32, kKvInt8};

size_t ElementBytes(KvType type) { return type == kKvBf16 ? 2 : type == kKvInt8 ? 1 : 4; }

// Queries of consecutive positions against a cache of shuffled blocks. What no token was stored in
// is NaN, as a float, and -1, as an integer.
struct Problem {
  KvType type;
  size_t group;
  size_t head_dim;
  size_t num_queries;
  size_t num_keys;             // of the first position
  std::vector<float> queries;  // [num_queries][group][head_dim]
  std::vector<float> keys;     // [all_keys()][head_dim], as they were before they were stored
  std::vector<float> values;
  size_t num_cache_blocks;  // two more than are used
  std::vector<int32_t> block_table;

  Problem(Random& random, KvType type_, size_t group_, size_t head_dim_, size_t num_keys_,
          size_t num_queries_ = 1)
      : type(type_),
        group(group_),
        head_dim(head_dim_),
        num_queries(num_queries_),
        num_keys(num_keys_),
        queries(random.Normals(num_queries * group * head_dim)),
        keys(WidenedAll(random.Bf16(all_keys() * head_dim))),
        values(WidenedAll(random.Bf16(all_keys() * head_dim))),
        num_cache_blocks(num_blocks() + 2) {
    for (size_t b = 0; b < num_cache_blocks; ++b) block_table.push_back(static_cast<int32_t>(b));
    random.Shuffle(block_table);
    block_table.resize(num_blocks());
  }

  static std::vector<float> WidenedAll(const std::vector<uint16_t>& x) {
    std::vector<float> wide(x.size());
    for (size_t i = 0; i < x.size(); ++i) wide[i] = Widened(x[i]);
    return wide;
  }

  size_t all_keys() const { return num_keys + num_queries - 1; }
  size_t num_blocks() const { return RoundUp(all_keys(), kBlockSize) / kBlockSize; }
  size_t num_rows() const { return num_queries * group; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

  static constexpr size_t kKeyOffset = 64;  // in elements, as are these
  size_t keys_size() const {
    return type == kKvInt8 ? Int8KvBytes(head_dim) : head_dim * kBlockSize;
  }
  size_t value_offset() const { return kKeyOffset + keys_size(); }
  size_t block_stride() const { return value_offset() + keys_size(); }

  // The memory of keys and values as `kernels` stores them.
  std::vector<uint8_t> Cache(const Kernels& kernels) const {
    const size_t element = ElementBytes(type);
    std::vector<uint8_t> cache(num_cache_blocks * block_stride() * element, 0xff);
    for (size_t j = 0; j < all_keys(); ++j) {
      const auto block = static_cast<size_t>(block_table[j / kBlockSize]) * block_stride();
      uint8_t* key = &cache[(block + kKeyOffset) * element];
      uint8_t* value = &cache[(block + value_offset()) * element];
      const float* from_key = &keys[j * head_dim];
      const float* from_value = &values[j * head_dim];
      const size_t slot = j % kBlockSize;
      if (type == kKvBf16) {
        kernels.store_kv(from_key, from_value, head_dim, slot, reinterpret_cast<uint16_t*>(key),
                         reinterpret_cast<uint16_t*>(value));
      } else if (type == kKvInt8) {
        kernels.attention.store_int8(from_key, from_value, head_dim, slot,
                                     reinterpret_cast<int8_t*>(key),
                                     reinterpret_cast<int8_t*>(value));
      } else {
        for (size_t d = 0; d < head_dim; ++d) {
          std::memcpy(key + (d * kBlockSize + slot) * 4, &from_key[d], 4);
          std::memcpy(value + (slot * head_dim + d) * 4, &from_value[d], 4);
        }
      }
    }
    return cache;
  }

  // Attention of all rows, each function cut into `pieces`, which are computed last to first.
  std::vector<float> Run(const Kernels& kernels, size_t pieces = 1) const {
    const size_t row_size = group * head_dim;
    const size_t stride = num_blocks() * kBlockSize + 16;  // more than needed
    const std::vector<uint8_t> cache = Cache(kernels);
    std::vector<int16_t> wide_queries(queries.size());
    std::vector<float> query_scales(num_rows());
    for (size_t row = 0; row < num_rows(); ++row) {
      kernels.attention.quantize_query(&queries[row * head_dim], head_dim,
                                       &wide_queries[row * head_dim], &query_scales[row]);
    }
    std::vector<float> scores(num_rows() * stride, NAN);
    std::vector<float> sums(num_rows(), NAN);
    std::vector<float> out(queries.size(), NAN);
    const AttentionTask task{.queries = queries.data(),
                             .wide_queries = wide_queries.data(),
                             .query_scales = query_scales.data(),
                             .num_queries = num_queries,
                             .query_stride = row_size,
                             .wide_stride = row_size,
                             .query_scale_stride = group,
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
                             .scores_stride = stride,
                             .sums = sums.data(),
                             .out = out.data(),
                             .out_stride = row_size,
                             .kv_type = type};
    const auto cut = [&](size_t n, auto function, size_t unit) {
      for (size_t piece = pieces; piece-- > 0;) {
        function(&task, n * piece / pieces * unit, n * (piece + 1) / pieces * unit);
      }
    };
    cut(num_blocks(), kernels.attention.scores, 1);
    cut(num_rows(), kernels.attention.weights, 1);
    cut(head_dim / 16, kernels.attention.values, 16);
    return out;
  }
};

std::string Named(KvType type, std::initializer_list<size_t> where) {
  return (type == kKvBf16 ? "bf16: " : type == kKvInt8 ? "int8: " : "f32: ") + At(where);
}

}  // namespace

KERNEL_TEST(attention_is_the_reference_for_every_number_of_keys) {
  Random random(30);
  for (const KvType type : kTypes) {
    for (size_t num_keys = 1; num_keys <= 150; ++num_keys) {
      const Problem problem(random, type, num_keys % 5 + 1, 64, num_keys);
      ExpectSameBits(problem.Run(kernels), problem.Run(Reference()), Named(type, {num_keys}));
    }
  }
}

KERNEL_TEST(attention_is_the_reference_for_every_group_and_head_dim) {
  Random random(31);
  for (const KvType type : kTypes) {
    for (const size_t head_dim : {16u, 32u, 48u, 80u, 128u, 144u, 256u}) {
      for (size_t group = 1; group <= 9; ++group) {
        const Problem problem(random, type, group, head_dim, 37);
        ExpectSameBits(problem.Run(kernels), problem.Run(Reference()),
                       Named(type, {head_dim, group}));
      }
    }
  }
}

KERNEL_TEST(positions_that_share_a_pass_get_what_each_gets_alone) {
  Random random(34);
  for (const KvType type : kTypes) {
    for (const size_t num_keys : {1u, 9u, 16u, 60u, 64u, 123u}) {
      for (size_t num_queries = 1; num_queries <= kMaxQueries; ++num_queries) {
        const Problem together(random, type, 5, 48, num_keys, num_queries);
        const std::vector<float> out = together.Run(kernels);
        const size_t row_size = 5 * 48;
        for (size_t t = 0; t < num_queries; ++t) {
          Problem alone = together;
          alone.num_queries = 1;
          alone.num_keys = num_keys + t;
          alone.queries.assign(&together.queries[t * row_size],
                               &together.queries[t * row_size] + row_size);
          ExpectSameBits({&out[t * row_size], &out[t * row_size] + row_size},
                         alone.Run(Reference()), Named(type, {num_keys, num_queries, t}));
        }
      }
    }
  }
}

KERNEL_TEST(attention_may_be_cut_anywhere) {
  Random random(35);
  for (const KvType type : kTypes) {
    for (const size_t num_keys : {5u, 100u, 250u}) {
      const Problem problem(random, type, 4, 128, num_keys, 3);
      const std::vector<float> whole = problem.Run(Reference());
      for (const size_t pieces : {2u, 3u, 5u, 16u}) {
        ExpectSameBits(problem.Run(kernels, pieces), whole, Named(type, {num_keys, pieces}));
      }
    }
  }
}

KERNEL_TEST(attention_to_one_key_is_its_value) {
  Random random(32);
  for (const KvType type : {kKvBf16, kKvFloat32}) {
    const Problem problem(random, type, 1, 16, 1);
    ExpectSameBits(problem.Run(kernels), problem.values, Named(type, {}));
  }
}

// One key's weight is 1: what is left of its value is 8 bits of the largest, and the rounding of
// the weight to 15 bits.
KERNEL_TEST(int8_attention_to_one_key_is_its_value_within_half_a_step) {
  Random random(36);
  const Problem problem(random, kKvInt8, 1, 128, 1);
  const std::vector<float> actual = problem.Run(kernels);
  float largest = 0.0f;
  for (const float value : problem.values) largest = std::fmax(largest, std::fabs(value));
  for (size_t d = 0; d < 128; ++d) {
    EXPECT(std::fabs(actual[d] - problem.values[d]) <= largest / 127.0f * 0.5001f);
  }
}

KERNEL_TEST(an_int8_token_is_its_bytes_and_a_scale) {
  const std::vector<float> key = {0.0f, 0.5f, -1.0f, 0.25f, 0, 0, 0, 0,
                                  0,    0,    0,     0,     0, 0, 0, 127e-3f};
  const std::vector<float> value = {1.0f, 2.0f, -4.0f, 8.0f, 0, 0, 0, 0,
                                    0,    0,    0,     0,    0, 0, 0, -8.0f};
  std::vector<int8_t> keys(Int8KvBytes(16), 99);
  std::vector<int8_t> values(Int8KvBytes(16), 99);
  kernels.attention.store_int8(key.data(), value.data(), 16, 6, keys.data(), values.data());
  const auto key_at = [&](size_t d) { return int{keys[(d / 4 * 16 + 6) * 4 + d % 4]}; };
  const auto value_at = [&](size_t d) { return int{values[(16 + d) * 4 + 2]}; };
  const auto scale_of = [](const std::vector<int8_t>& block) {
    float scale = 0.0f;
    std::memcpy(&scale, &block[16 * 16 + 6 * 4], 4);
    return scale;
  };
  EXPECT_EQ(key_at(1), 64);  // 63.5, half to even
  EXPECT_EQ(key_at(2), -127);
  EXPECT_EQ(key_at(3), 32);
  EXPECT_EQ(key_at(15), 16);
  EXPECT_EQ(scale_of(keys), 1.0f / 127.0f);
  EXPECT_EQ(value_at(0), 16);
  EXPECT_EQ(value_at(3), 127);
  EXPECT_EQ(value_at(15), -127);
  EXPECT_EQ(scale_of(values), 8.0f / 127.0f);
  EXPECT_EQ(std::count(keys.begin(), keys.end(), 99), 16 * 16 + 64 - 16 - 4);
  EXPECT_EQ(std::count(values.begin(), values.end(), 99), 16 * 16 + 64 - 16 - 4);
}

// A key that takes nearly all the weight must not round away the 300 others, whose values are
// large: they are three tenths of the result.
KERNEL_TEST(an_int8_key_with_nearly_all_the_weight_leaves_the_others_theirs) {
  Random random(37);
  Problem problem(random, kKvInt8, 1, 16, 301);
  std::fill(problem.queries.begin(), problem.queries.end(), 1.0f);
  std::fill(problem.keys.begin(), problem.keys.end(), -1.0f);
  std::fill_n(problem.keys.begin() + 5 * 16, 16, 1.63f);  // e^(4 * 2.63) = 37000 times the weight
  std::fill(problem.values.begin(), problem.values.end(), 1.0f);
  std::fill_n(problem.values.begin() + 5 * 16, 16, 0.02f);
  const std::vector<float> actual = problem.Run(kernels);
  double wanted = 0.02 * std::exp(4 * 2.63) + 300;
  wanted /= std::exp(4 * 2.63) + 300;
  for (size_t d = 0; d < 16; ++d) EXPECT(std::fabs(double{actual[d]} - wanted) <= 0.03 * wanted);
}

// A score errs by head_dim + 1 half units of the sum of its products' magnitudes, a weight by as
// much relative to itself (e^x has slope e^x) and 2e-7 for Exp; the mixed values are a mean, so
// errors of the weights count twice (numerator and sum), and num_keys fused additions once.
KERNEL_TEST(attention_agrees_with_double_precision) {
  Random random(33);
  for (const size_t num_keys : {1u, 17u, 70u, 300u}) {
    const Problem problem(random, kKvBf16, 4, 128, num_keys);
    const std::vector<float> actual = problem.Run(kernels);
    for (size_t h = 0; h < problem.group; ++h) {
      std::vector<double> weights(num_keys);
      double largest = -1e30;
      double magnitude = 0.0;
      for (size_t j = 0; j < num_keys; ++j) {
        double sum = 0.0;
        for (size_t d = 0; d < 128; ++d) {
          const double product =
              double{problem.queries[h * 128 + d]} * double{problem.keys[j * 128 + d]};
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
          const double part = weights[j] / total * double{problem.values[j * 128 + d]};
          wanted += part;
          sum += std::fabs(part);
        }
        EXPECT(std::fabs(double{actual[h * 128 + d]} - wanted) <= sum * tolerance);
      }
    }
  }
}

}  // namespace tercet::test
