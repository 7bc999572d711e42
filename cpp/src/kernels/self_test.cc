// The check before serving: each function of a set against the reference, on a few hundred values
// whose sizes leave remainders of every kind. It takes milliseconds; the thorough tests are
// tests/cpp.
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include "kernels/registry.h"

namespace tercet {
namespace {

constexpr size_t kRows = 2 * kTileRows + 5;
constexpr size_t kCols = 3 * kColumnAlign + 7;
// A few tokens and more than a tile of them go different ways.
constexpr size_t kBatches[] = {3, 19};

// Numbers that are the same on every run.
class Numbers {
 public:
  uint32_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }
  // About normal, standard deviation 1.
  float NextFloat() {
    float sum = 0.0f;
    for (int i = 0; i < 3; ++i) {
      sum += static_cast<float>(Next() >> 7) * 0x1p-23f - 1.0f;
    }
    return sum;
  }
  std::vector<float> Floats(size_t n) {
    std::vector<float> x(n);
    for (float& value : x) {
      value = NextFloat();
    }
    return x;
  }
  std::vector<uint16_t> Bf16(size_t n) {
    std::vector<uint16_t> x(n);
    for (uint16_t& value : x) {
      value = static_cast<uint16_t>(std::bit_cast<uint32_t>(NextFloat()) >> 16);
    }
    return x;
  }

 private:
  uint64_t state_ = 1;
};

// Memory that begins as packed matrices and activations must.
class Aligned {
 public:
  explicit Aligned(size_t bytes) : data_(static_cast<uint8_t*>(::operator new(bytes, kAlign))) {
    std::memset(data_.get(), 0, bytes);
  }
  uint8_t* get() const { return data_.get(); }

 private:
  static constexpr std::align_val_t kAlign{kByteAlign};
  struct Delete {
    void operator()(uint8_t* data) const { ::operator delete(data, kAlign); }
  };
  std::unique_ptr<uint8_t, Delete> data_;
};

template <class T>
std::vector<uint8_t> BytesOf(const std::vector<T>& values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  return {bytes, bytes + values.size() * sizeof(T)};
}

std::vector<uint8_t> Quantize(const Kernels& kernels) {
  const std::vector<float> x = Numbers().Floats(kCols);
  std::vector<uint8_t> out(RoundUp(kCols, kColumnAlign) + sizeof(float) + sizeof(int32_t));
  float scale = 0.0f;
  int32_t sum = 0;
  kernels.quantize(x.data(), kCols, 1e-5f, reinterpret_cast<int8_t*>(out.data()), &scale, &sum);
  std::memcpy(out.data() + out.size() - 8, &scale, sizeof scale);
  std::memcpy(out.data() + out.size() - 4, &sum, sizeof sum);
  return out;
}

std::vector<uint8_t> TernaryGemm(const Kernels& kernels, const TernaryPacking& packing,
                                 size_t tokens) {
  Numbers numbers;
  const size_t num_tiles = RoundUp(kRows, kTileRows) / kTileRows;
  const Aligned packed(packing.bytes(kRows, kCols));
  std::vector<uint8_t> codes(kTileRows * kCols);
  for (size_t tile = 0; tile < num_tiles; ++tile) {
    for (uint8_t& code : codes) {
      code = static_cast<uint8_t>(numbers.Next() % 3);
    }
    packing.pack(codes.data(), kRows, kCols, tile, packed.get());
  }
  const size_t stride = RoundUp(kCols, kColumnAlign);
  const Aligned values(tokens * stride);
  std::vector<float> scales(tokens);
  std::vector<int32_t> sums(tokens);
  for (size_t m = 0; m < tokens; ++m) {
    kernels.quantize(numbers.Floats(kCols).data(), kCols, 1e-5f,
                     reinterpret_cast<int8_t*>(values.get()) + m * stride, &scales[m], &sums[m]);
  }
  const std::vector<float> row_scales = numbers.Floats(num_tiles * kTileRows);
  const TernaryMatrix w{packed.get(), row_scales.data(), kRows, kCols};
  const Int8Rows x{reinterpret_cast<int8_t*>(values.get()), scales.data(), sums.data(), tokens,
                   stride};
  std::vector<float> out(tokens * kRows);
  packing.gemm(&w, &x, 0, num_tiles, out.data(), kRows);
  return BytesOf(out);
}

std::vector<uint8_t> GroupedGemm(const Kernels& kernels, const GroupedPacking& packing,
                                 size_t tokens) {
  constexpr size_t kGroup = kColumnAlign;
  constexpr size_t kNumGroups = NumGroups(kCols, kGroup);
  constexpr size_t kStride = RoundUp(kCols, kGroup);
  Numbers numbers;
  const size_t num_tiles = RoundUp(kRows, kTileRows) / kTileRows;
  const Aligned packed(packing.bytes(kRows, kCols, kGroup));
  std::vector<uint8_t> codes(kTileRows * kCols);
  std::vector<uint16_t> halves(kTileRows * kNumGroups);
  for (size_t tile = 0; tile < num_tiles; ++tile) {
    for (uint8_t& code : codes) {
      code = static_cast<uint8_t>(numbers.Next() % 3);
    }
    for (uint16_t& half : halves) {
      half = static_cast<uint16_t>(numbers.Next() % 0x4000u);  // up to 2, small ones included
    }
    packing.pack(codes.data(), halves.data(), kCols, kGroup, tile, packed.get());
  }
  const Aligned values(tokens * kStride);
  std::vector<float> scales(tokens * kNumGroups);
  std::vector<int32_t> sums(tokens * kNumGroups);
  auto* bytes = reinterpret_cast<int8_t*>(values.get());
  for (size_t m = 0; m < tokens; ++m) {
    for (size_t g = 0; g < kNumGroups; ++g) {
      const size_t count = kCols - g * kGroup < kGroup ? kCols - g * kGroup : kGroup;
      kernels.quantize(numbers.Floats(count).data(), count, 1e-30f,
                       bytes + m * kStride + g * kGroup, &scales[m * kNumGroups + g],
                       &sums[m * kNumGroups + g]);
    }
  }
  const std::vector<float> row_scales = numbers.Floats(num_tiles * kTileRows);
  const GroupedMatrix w{packed.get(), row_scales.data(), kRows, kCols, kGroup};
  const GroupedRows x{bytes, scales.data(), sums.data(), tokens, kStride, kNumGroups};
  std::vector<float> out(tokens * kRows);
  packing.gemm(&w, &x, 0, num_tiles, out.data(), kRows);
  return BytesOf(out);
}

// A packed head with quantised tokens, seen through its products: the tokens' form is each set's
// own.
struct HeadCase {
  static constexpr size_t kStride = 2 * RoundUp(kCols, kHeadAlign);
  Aligned high{HeadPlaneBytes(kRows, kCols)};
  Aligned low{HeadPlaneBytes(kRows, kCols)};
  Aligned values;
  std::vector<float> row_scales = std::vector<float>(RoundUp(kRows, kTileRows));
  std::vector<float> scales;
  std::vector<int32_t> sums;
  std::vector<uint16_t> table;
  std::vector<HeadRow> facts = std::vector<HeadRow>(kRows);

  HeadCase(const Kernels& kernels, size_t tokens)
      : values(tokens * kStride), scales(tokens), sums(tokens) {
    Numbers numbers;
    table = numbers.Bf16(kRows * kCols);
    for (size_t n = 0; n < kRows; ++n) {
      const size_t place = HeadRowPlace(n, kCols);
      kernels.head_pack(&table[n * kCols], kCols, high.get() + place, low.get() + place, &facts[n]);
      row_scales[n] = facts[n].scale;
    }
    for (size_t m = 0; m < scales.size(); ++m) {
      kernels.head_quantize(numbers.Floats(kCols).data(), kCols, values.get() + m * kStride,
                            &scales[m], &sums[m]);
    }
  }
  WideRows wide() const {
    return {values.get(), scales.data(), sums.data(), scales.size(), kStride};
  }
  HeadMatrix matrix() const { return {high.get(), low.get(), row_scales.data(), kRows, kCols}; }
};

std::vector<uint8_t> HeadPack(const Kernels& kernels) {
  const HeadCase head(kernels, 1);
  std::vector<int64_t> facts;
  for (const HeadRow& row : head.facts) {
    facts.insert(facts.end(), {row.squares, row.products, row.middles});
  }
  return BytesOf(facts);
}

std::vector<uint8_t> HeadGemm(const Kernels& kernels, size_t tokens) {
  const HeadCase head(kernels, tokens);
  const HeadMatrix w = head.matrix();
  const WideRows x = head.wide();
  std::vector<float> out(tokens * kRows);
  kernels.head_gemm(&w, &x, 0, RoundUp(kRows, kTileRows) / kTileRows, out.data(), kRows);
  return BytesOf(out);
}

std::vector<uint8_t> HeadDots(const Kernels& kernels, size_t tokens) {
  const HeadCase head(kernels, tokens);
  const HeadMatrix w = head.matrix();
  const WideRows x = head.wide();
  std::vector<int32_t> out(tokens * kRows);
  kernels.head_dots(&w, &x, 0, RoundUp(kRows, kTileRows) / kTileRows, out.data(), kRows);
  return BytesOf(out);
}

std::vector<uint8_t> HeadDot(const Kernels& kernels) {
  const HeadCase head(kernels, 1);
  const WideRows x = head.wide();
  std::vector<int32_t> out(kRows);
  for (size_t n = 0; n < kRows; ++n) {
    out[n] = kernels.head_dot(&head.table[n * kCols], kCols, &x);
  }
  return BytesOf(out);
}

std::vector<uint8_t> ScreenTokens(const Kernels& kernels) {
  constexpr size_t kVocab = 300;
  Numbers numbers;
  const std::vector<float> x = numbers.Floats(kVocab);
  std::vector<int32_t> sums(kVocab);
  for (size_t n = 0; n < kVocab; ++n) {
    sums[n] = static_cast<int32_t>(x[n] * 1e5f);
  }
  const std::vector<float> scales(kVocab, 1e-5f);
  const std::vector<float> margins(kVocab, 0.75f);
  const DrawKey key{.seed = 7, .choice = 1, .position = 2};
  const Screen screen{.sums = sums.data(),
                      .scales = scales.data(),
                      .margins = margins.data(),
                      .offset = 5,
                      .lift = 0.5f,
                      .scale = 0.1f,
                      .reach = 1.5f,
                      .inverse_temperature = 1.1f,
                      .key = &key,
                      .begin = 0,
                      .end = kVocab};
  std::vector<uint32_t> tokens(kVocab);
  std::vector<float> uppers(kVocab);
  float bar = 0;
  tokens.resize(kernels.screen(&screen, tokens.data(), uppers.data(), &bar));
  tokens.push_back(static_cast<uint32_t>(tokens.size()));
  return BytesOf(tokens);
}

std::vector<uint8_t> Bf16Gemm(const Kernels& kernels) {
  constexpr size_t kTokens = kBatches[0];
  Numbers numbers;
  const std::vector<uint16_t> table = numbers.Bf16(kRows * kCols);
  const std::vector<float> x = numbers.Floats(kTokens * kCols);
  std::vector<float> out(kTokens * kRows);
  kernels.bf16_gemm(table.data(), kCols, kCols, 0, kRows, x.data(), kTokens, kCols, out.data(),
                    kRows);
  return BytesOf(out);
}

std::vector<uint8_t> RmsNorm(const Kernels& kernels) {
  Numbers numbers;
  std::vector<float> x = numbers.Floats(kCols);
  kernels.rms_norm(x.data(), numbers.Floats(kCols).data(), kCols, 1e-5f, x.data());
  return BytesOf(x);
}

std::vector<uint8_t> Relu2Mul(const Kernels& kernels) {
  Numbers numbers;
  std::vector<float> gate = numbers.Floats(kCols);
  kernels.relu2_mul(gate.data(), numbers.Floats(kCols).data(), kCols);
  return BytesOf(gate);
}

std::vector<uint8_t> SiluMul(const Kernels& kernels) {
  Numbers numbers;
  std::vector<float> gate = numbers.Floats(kCols);
  kernels.silu_mul(gate.data(), numbers.Floats(kCols).data(), kCols);
  return BytesOf(gate);
}

std::vector<uint8_t> Add(const Kernels& kernels) {
  Numbers numbers;
  std::vector<float> x = numbers.Floats(kCols);
  kernels.add(x.data(), numbers.Floats(kCols).data(), kCols);
  return BytesOf(x);
}

std::vector<uint8_t> Rope(const Kernels& kernels) {
  Numbers numbers;
  std::vector<float> x = numbers.Floats(48);
  kernels.rope(x.data(), numbers.Floats(24).data(), numbers.Floats(24).data(), 48);
  return BytesOf(x);
}

std::vector<uint8_t> StoreKv(const Kernels& kernels) {
  Numbers numbers;
  std::vector<uint16_t> blocks(2 * kBlockSize * 48);
  kernels.store_kv(numbers.Floats(48).data(), numbers.Floats(48).data(), 48, 5, blocks.data(),
                   blocks.data() + kBlockSize * 48);
  return BytesOf(blocks);
}

// Two positions of 5 heads, the second of which sees one key more, in a new block.
struct AttentionShape {
  static constexpr size_t kHeadDim = 48;
  static constexpr size_t kGroup = 5;
  static constexpr size_t kQueries = 2;
  static constexpr size_t kNumKeys = 5 * kBlockSize;
  static constexpr size_t kRows = kGroup * kQueries;
  static constexpr size_t kKeys = 6 * kBlockSize;
  static constexpr int32_t kBlockTable[] = {4, 1, 5, 0, 2, 3};
};

std::vector<uint8_t> Attention(const Kernels& kernels, KvType kv_type, const void* cache,
                               size_t keys_size) {
  using Shape = AttentionShape;
  constexpr size_t kRowSize = Shape::kGroup * Shape::kHeadDim;
  const std::vector<float> queries = Numbers().Floats(Shape::kRows * Shape::kHeadDim);
  std::vector<int16_t> wide_queries(queries.size());
  std::vector<float> query_scales(Shape::kRows);
  for (size_t row = 0; row < Shape::kRows; ++row) {
    const size_t place = row * Shape::kHeadDim;
    kernels.attention.quantize_query(&queries[place], Shape::kHeadDim, &wide_queries[place],
                                     &query_scales[row]);
  }
  std::vector<float> scores(Shape::kRows * Shape::kKeys);
  std::vector<float> sums(Shape::kRows);
  std::vector<float> out(queries.size());
  const AttentionTask task{.queries = queries.data(),
                           .wide_queries = wide_queries.data(),
                           .query_scales = query_scales.data(),
                           .num_queries = Shape::kQueries,
                           .query_stride = kRowSize,
                           .wide_stride = kRowSize,
                           .query_scale_stride = Shape::kGroup,
                           .group = Shape::kGroup,
                           .head_dim = Shape::kHeadDim,
                           .cache = cache,
                           .block_table = Shape::kBlockTable,
                           .block_stride = 2 * keys_size,
                           .key_offset = 0,
                           .value_offset = keys_size,
                           .num_keys = Shape::kNumKeys,
                           .scale = 0.25f,
                           .scores = scores.data(),
                           .scores_stride = Shape::kKeys,
                           .sums = sums.data(),
                           .out = out.data(),
                           .out_stride = kRowSize,
                           .kv_type = kv_type};
  kernels.attention.scores(&task, 0, 6);
  kernels.attention.weights(&task, 0, Shape::kRows);
  kernels.attention.values(&task, 0, Shape::kHeadDim);
  return BytesOf(out);
}

std::vector<uint8_t> AttentionBf16(const Kernels& kernels) {
  constexpr size_t kKeysSize = AttentionShape::kHeadDim * kBlockSize;
  const std::vector<uint16_t> cache = Numbers().Bf16(12 * kKeysSize);
  return Attention(kernels, kKvBf16, cache.data(), kKeysSize);
}

std::vector<uint8_t> AttentionFloat32(const Kernels& kernels) {
  constexpr size_t kKeysSize = AttentionShape::kHeadDim * kBlockSize;
  const std::vector<float> cache = Numbers().Floats(12 * kKeysSize);
  return Attention(kernels, kKvFloat32, cache.data(), kKeysSize);
}

// The cache and what is computed from it: both must be the reference's.
std::vector<uint8_t> AttentionInt8(const Kernels& kernels) {
  constexpr size_t kHeadDim = AttentionShape::kHeadDim;
  constexpr size_t kKeysSize = Int8KvBytes(kHeadDim);
  const Aligned cache(12 * kKeysSize);
  auto* elements = reinterpret_cast<int8_t*>(cache.get());
  Numbers numbers;
  for (size_t token = 0; token < AttentionShape::kKeys; ++token) {
    int8_t* block = elements + token / kBlockSize * 2 * kKeysSize;
    kernels.attention.store_int8(numbers.Floats(kHeadDim).data(), numbers.Floats(kHeadDim).data(),
                                 kHeadDim, token % kBlockSize, block, block + kKeysSize);
  }
  std::vector<uint8_t> bytes(cache.get(), cache.get() + 12 * kKeysSize);
  const std::vector<uint8_t> out = Attention(kernels, kKvInt8, elements, kKeysSize);
  bytes.insert(bytes.end(), out.begin(), out.end());
  return bytes;
}

std::vector<uint8_t> Argmax(const Kernels& kernels) {
  std::vector<float> x = Numbers().Floats(kCols);
  x[50] = x[150] = 10.0f;
  x[20] = NAN;
  return BytesOf(std::vector<size_t>{kernels.argmax(x.data(), kCols)});
}

std::vector<uint8_t> SumExp(const Kernels& kernels) {
  const std::vector<float> x = Numbers().Floats(kCols);
  return BytesOf(std::vector<float>{kernels.sum_exp(x.data(), kCols, 3.0f, 1.3f)});
}

std::vector<uint8_t> GumbelArgmax(const Kernels& kernels) {
  const std::vector<float> x = Numbers().Floats(kCols);
  std::vector<size_t> drawn;
  for (uint32_t position = 0; position < 32; ++position) {
    const DrawKey key{.seed = 0x123456789abcdef0u, .choice = 1, .position = position};
    drawn.push_back(kernels.gumbel_argmax(x.data(), kCols, 1.1f, -2.0f, &key));
  }
  return BytesOf(drawn);
}

struct Check {
  const char* function;
  std::vector<uint8_t> (*run)(const Kernels&);
};

constexpr Check kChecks[] = {
    {"quantize", Quantize},
    {"head_pack", HeadPack},
    {"head_dot", HeadDot},
    {"screen", ScreenTokens},
    {"bf16_gemm", Bf16Gemm},
    {"rms_norm", RmsNorm},
    {"relu2_mul", Relu2Mul},
    {"silu_mul", SiluMul},
    {"add", Add},
    {"rope", Rope},
    {"store_kv", StoreKv},
    {"attention over bf16", AttentionBf16},
    {"attention over f32", AttentionFloat32},
    {"attention over int8", AttentionInt8},
    {"argmax", Argmax},
    {"sum_exp", SumExp},
    {"gumbel_argmax", GumbelArgmax},
};

std::string Difference(const Kernels& kernels, const std::string& what) {
  return "kernel set '" + std::string(kernels.name) + "': " + what +
         " differs from the reference on this machine";
}

}  // namespace

std::optional<std::string> SelfTest(const Kernels& kernels) {
  const Kernels& reference = *AllKernels().back();
  for (const Check& check : kChecks) {
    if (check.run(kernels) != check.run(reference)) {
      return Difference(kernels, check.function);
    }
  }
  for (const size_t tokens : kBatches) {
    if (HeadGemm(kernels, tokens) != HeadGemm(reference, tokens)) {
      return Difference(kernels, "head_gemm");
    }
    if (HeadDots(kernels, tokens) != HeadDots(reference, tokens)) {
      return Difference(kernels, "head_dots");
    }
    const std::vector<uint8_t> product = TernaryGemm(reference, reference.packings[0], tokens);
    for (const TernaryPacking& packing : std::span(kernels.packings, kernels.num_packings)) {
      if (TernaryGemm(kernels, packing, tokens) != product) {
        return Difference(kernels, "packing " + std::string(packing.name));
      }
    }
    const std::vector<uint8_t> grouped =
        GroupedGemm(reference, reference.grouped_packings[0], tokens);
    for (const GroupedPacking& packing :
         std::span(kernels.grouped_packings, kernels.num_grouped_packings)) {
      if (GroupedGemm(kernels, packing, tokens) != grouped) {
        return Difference(kernels, "grouped packing " + std::string(packing.name));
      }
    }
  }
  return std::nullopt;
}

}  // namespace tercet
