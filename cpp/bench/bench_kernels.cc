// Matrix products of every kernel set, beside what the machine can give in the same second.
//
// One token is bound by memory: GB/s, against plain reading with four streams a thread. Many tokens
// are bound by multiplying: GMAC/s, against VPDPBUSD on registers (where the CPU has it). The clock
// and the neighbours of a shared machine change by the second, so a repetition lasts a few
// milliseconds, both limits are measured between those of each line, and every figure is the best.
// The matrices are larger than the caches: as many copies are walked as fill 256 MB.
//
//   bench_kernels [KERNEL_SET [attention | TOKENS...]]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "kernels/registry.h"

namespace tercet {
namespace {

constexpr size_t kMatrixBytes = size_t{256} << 20;
constexpr int kRepeats = 15;

template <class T>
class Aligned {
 public:
  explicit Aligned(size_t size, int fill = 1)
      : data_(static_cast<T*>(::operator new(size * sizeof(T), kAlign))) {
    std::memset(data_, fill, size * sizeof(T));
  }
  ~Aligned() { ::operator delete(data_, kAlign); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  T* get() const { return data_; }

 private:
  static constexpr std::align_val_t kAlign{4096};
  T* data_;
};

// Runs work(thread) on all threads at once; returns the seconds the slowest took.
double Seconds(size_t num_threads, const std::function<void(size_t)>& work) {
  std::atomic<size_t> ready{0};
  std::vector<std::thread> threads;
  std::chrono::steady_clock::time_point begin;
  const auto wait = [&] {
    ready.fetch_add(1);
    while (ready.load() < num_threads) {
    }
  };
  for (size_t t = 1; t < num_threads; ++t) {
    threads.emplace_back([&, t] {
      wait();
      work(t);
    });
  }
  wait();
  begin = std::chrono::steady_clock::now();
  work(0);
  for (std::thread& thread : threads) thread.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double BestSeconds(size_t num_threads, const std::function<void(size_t)>& work) {
  double best = Seconds(num_threads, work);
  for (int i = 1; i < kRepeats; ++i) best = std::min(best, Seconds(num_threads, work));
  return best;
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) void Vpdpbusd(size_t iterations) {
  for (size_t i = 0; i < iterations; ++i) {
    __asm__ volatile(
        "vpdpbusd %%zmm30, %%zmm31, %%zmm0\n vpdpbusd %%zmm30, %%zmm31, %%zmm1\n"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm2\n vpdpbusd %%zmm30, %%zmm31, %%zmm3\n"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm4\n vpdpbusd %%zmm30, %%zmm31, %%zmm5\n"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm6\n vpdpbusd %%zmm30, %%zmm31, %%zmm7\n"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm8\n vpdpbusd %%zmm30, %%zmm31, %%zmm9\n"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm10\n vpdpbusd %%zmm30, %%zmm31, %%zmm11\n"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm12\n vpdpbusd %%zmm30, %%zmm31, %%zmm13\n"
        "vpdpbusd %%zmm30, %%zmm31, %%zmm14\n vpdpbusd %%zmm30, %%zmm31, %%zmm15\n" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
              "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  }
}

double PeakGmacs(size_t num_threads) {
  if ((DetectCpuFeatures() & kAvx512Vnni) == 0) return 0.0;
  constexpr size_t kIterations = 1'000'000;
  const double seconds = Seconds(num_threads, [](size_t) { Vpdpbusd(kIterations); });
  return static_cast<double>(num_threads * kIterations) * 16 * 64 / seconds * 1e-9;
}
#else
double PeakGmacs(size_t) { return 0.0; }
#endif

// Four streams a thread, eight bytes of each cache line: the lines are what memory delivers.
double ReadGigabytes(size_t num_threads, const uint8_t* memory) {
  const size_t share = kMatrixBytes / num_threads;
  std::atomic<uint64_t> sink{0};
  const double seconds = Seconds(num_threads, [&](size_t t) {
    const uint8_t* begin = memory + t * share;
    uint64_t sum = 0;
    for (size_t i = 0; i < share / 4; i += 64) {
      for (size_t stream = 0; stream < 4; ++stream) {
        uint64_t value = 0;
        std::memcpy(&value, begin + stream * (share / 4) + i, sizeof value);
        sum += value;
      }
    }
    sink += sum;
  });
  return static_cast<double>(kMatrixBytes) / seconds * 1e-9;
}

struct Shape {
  const char* name;
  size_t rows;
  size_t cols;
};

using Gemm = std::function<void(size_t copy, size_t tile_begin, size_t tile_end)>;

// One line: `gemm` on all copies of a matrix of `bytes` that `memory` holds.
void Report(const Kernels& kernels, const char* packing, const Shape& shape, size_t bytes,
            size_t num_threads, size_t tokens, const uint8_t* memory, const Gemm& gemm) {
  const double budget = std::string_view(kernels.name) == "reference" ? 2e7 : 4e9;  // products
  const double tile_macs = static_cast<double>(kTileRows * shape.cols * tokens);
  const size_t all_tiles = RoundUp(shape.rows, kTileRows) / kTileRows;
  const auto affordable = static_cast<size_t>(budget / tile_macs);
  const size_t tiles = std::clamp<size_t>(affordable, num_threads, all_tiles);
  const size_t copies =
      std::clamp<size_t>(affordable / tiles, 1, std::max<size_t>(1, kMatrixBytes / bytes));
  const double macs = tile_macs * static_cast<double>(tiles * copies);
  double best_seconds = 1e9;
  double best_read = 0.0;
  double best_peak = 0.0;
  for (int i = 0; i < kRepeats; ++i) {
    best_read = std::max(best_read, ReadGigabytes(num_threads, memory));
    best_peak = std::max(best_peak, PeakGmacs(num_threads));
    best_seconds = std::min(best_seconds, Seconds(num_threads, [&](size_t t) {
                              for (size_t copy = 0; copy < copies; ++copy) {
                                gemm(copy, tiles * t / num_threads, tiles * (t + 1) / num_threads);
                              }
                            }));
  }
  const auto read = static_cast<double>(bytes * copies * tiles / all_tiles);
  const double gigabytes = read / best_seconds * 1e-9;
  const double gmacs = macs / best_seconds * 1e-9;
  std::printf("%-12s %-8s %-20s %2zu %5zu %8.2f of %6.2f GB/s %4.0f %%  %8.1f", kernels.name,
              packing, shape.name, num_threads, tokens, gigabytes, best_read,
              100 * gigabytes / best_read, gmacs);
  if (best_peak > 0.0) std::printf(" of %6.1f GMAC/s %4.0f %%", best_peak, 100 * gmacs / best_peak);
  std::printf("\n");
  std::fflush(stdout);
}

constexpr size_t kMaxTokens = 512;
constexpr size_t kMaxCols = 6912;
constexpr size_t kMaxRows = 128256;

struct Memory {
  Aligned<uint8_t> weights{std::max(kMatrixBytes, kMaxRows* size_t{2560})};
  Aligned<uint8_t> cache{kMatrixBytes / 2, 0x3c};  // small numbers of every type, no denormals
  Aligned<uint8_t> values{kMaxTokens * kMaxCols * 2};
  std::vector<float> row_scales = std::vector<float>(kMaxRows, 1.0f);
  std::vector<float> scales = std::vector<float>(kMaxTokens, 1.0f);
  std::vector<int32_t> sums = std::vector<int32_t>(kMaxTokens, 0);
  std::vector<float> out = std::vector<float>(kMaxTokens * 13824);
};

void BenchTernary(const Kernels& kernels, const TernaryPacking& packing, const Shape& shape,
                  size_t num_threads, const std::vector<size_t>& batches, Memory& memory) {
  const size_t bytes = packing.bytes(shape.rows, shape.cols);
  for (const size_t tokens : batches) {
    Report(kernels, packing.name, shape, bytes, num_threads, tokens, memory.weights.get(),
           [&](size_t copy, size_t begin, size_t end) {
             const TernaryMatrix w{memory.weights.get() + copy * bytes, memory.row_scales.data(),
                                   shape.rows, shape.cols};
             const Int8Rows x{reinterpret_cast<const int8_t*>(memory.values.get()),
                              memory.scales.data(), memory.sums.data(), tokens,
                              RoundUp(shape.cols, kColumnAlign)};
             packing.gemm(&w, &x, begin, end, memory.out.data(), shape.rows);
           });
  }
}

// What a screened draw reads of the head, and what a row of logits does.
void BenchHeadPlanes(const Kernels& kernels, const Shape& shape, size_t num_threads,
                     Memory& memory) {
  const size_t plane = HeadPlaneBytes(shape.rows, shape.cols);
  for (const size_t tokens : {1u, 2u, 4u, 8u, 16u, 32u}) {
    const WideRows x{memory.values.get(), memory.scales.data(), memory.sums.data(), tokens,
                     2 * RoundUp(shape.cols, kHeadAlign)};
    auto* out = memory.out.data();
    Report(kernels, "high", shape, plane, num_threads, tokens, memory.weights.get(),
           [&](size_t copy, size_t begin, size_t end) {
             const HeadMatrix w{memory.weights.get() + copy * plane, nullptr, nullptr, shape.rows,
                                shape.cols};
             kernels.head_dots(&w, &x, begin, end, reinterpret_cast<int32_t*>(out), shape.rows);
           });
    Report(kernels, "both", shape, 2 * plane, num_threads, tokens, memory.weights.get(),
           [&](size_t, size_t begin, size_t end) {
             const HeadMatrix w{memory.weights.get(), memory.weights.get() + plane,
                                memory.row_scales.data(), shape.rows, shape.cols};
             kernels.head_gemm(&w, &x, begin, end, out, shape.rows);
           });
  }
}

// Microseconds of one call on numbers in the cache, and how many giga-`unit` it does per second.
void ReportCall(const Kernels& kernels, const char* name, double amount, const char* unit,
                const std::function<void()>& call) {
  constexpr int kCalls = 20;
  const double seconds = BestSeconds(1,
                                     [&](size_t) {
                                       for (int i = 0; i < kCalls; ++i) call();
                                     }) /
                         kCalls;
  std::printf("%-12s %-38s %10.2f us  %8.2f %s\n", kernels.name, name, seconds * 1e6,
              amount / seconds * 1e-9, unit);
}

const char* NameOf(KvType type) {
  return type == kKvBf16 ? "bf16" : type == kKvInt8 ? "int8" : "f32";
}

// Query positions of a 2B4T-like model: 4 heads of 128 share their keys and values. One position is
// held against reading, over so many caches as do not fit the CPU's; several are multiplied.
void BenchAttention(const Kernels& kernels, KvType type, size_t num_queries, size_t num_keys,
                    const Memory& memory) {
  constexpr size_t kGroup = 4;
  constexpr size_t kHeadDim = 128;
  const size_t num_blocks = RoundUp(num_keys, kBlockSize) / kBlockSize;
  const size_t element = type == kKvBf16 ? 2 : type == kKvInt8 ? 1 : 4;
  const size_t head_size = type == kKvInt8 ? Int8KvBytes(kHeadDim) : kHeadDim * kBlockSize;
  const size_t bytes = num_blocks * 2 * head_size * element;
  const size_t copies = num_queries == 1 ? kMatrixBytes / 2 / bytes : 1;
  std::vector<int32_t> block_table(num_blocks);
  for (size_t b = 0; b < num_blocks; ++b) block_table[b] = static_cast<int32_t>(num_blocks - 1 - b);
  const std::vector<float> queries(num_queries * kGroup * kHeadDim, 0.5f);
  const std::vector<int16_t> wide_queries(queries.size(), 100);
  const std::vector<float> query_scales(num_queries * kGroup, 1e-3f);
  std::vector<float> scores(num_queries * kGroup * num_blocks * kBlockSize);
  std::vector<float> sums(num_queries * kGroup);
  std::vector<float> out(queries.size());
  AttentionTask task{.queries = queries.data(),
                     .wide_queries = wide_queries.data(),
                     .query_scales = query_scales.data(),
                     .num_queries = num_queries,
                     .query_stride = kGroup * kHeadDim,
                     .wide_stride = kGroup * kHeadDim,
                     .query_scale_stride = kGroup,
                     .group = kGroup,
                     .head_dim = kHeadDim,
                     .cache = nullptr,
                     .block_table = block_table.data(),
                     .block_stride = 2 * head_size,
                     .key_offset = 0,
                     .value_offset = head_size,
                     .num_keys = num_keys - num_queries + 1,
                     .scale = 0.1f,
                     .scores = scores.data(),
                     .scores_stride = num_blocks * kBlockSize,
                     .sums = sums.data(),
                     .out = out.data(),
                     .out_stride = kGroup * kHeadDim,
                     .kv_type = type};
  double best = 1e9;
  double best_read = 0.0;
  for (int i = 0; i < kRepeats; ++i) {
    best_read = std::max(best_read, ReadGigabytes(1, memory.weights.get()));
    best = std::min(best, Seconds(1, [&](size_t) {
                      for (size_t copy = 0; copy < copies; ++copy) {
                        task.cache = memory.cache.get() + copy * bytes;
                        kernels.attention.scores(&task, 0, num_blocks);
                        kernels.attention.weights(&task, 0, num_queries * kGroup);
                        kernels.attention.values(&task, 0, kHeadDim);
                      }
                    }));
  }
  const double gigabytes = static_cast<double>(copies * bytes) / best * 1e-9;
  const double gmacs =
      static_cast<double>(copies * num_queries * kGroup * num_keys * kHeadDim * 2) / best * 1e-9;
  std::printf(
      "%-12s attention %-4s positions %zu keys %5zu %8.2f us %8.2f of %6.2f GB/s %8.1f GMAC/s\n",
      kernels.name, NameOf(type), num_queries, num_keys, best * 1e6 / static_cast<double>(copies),
      gigabytes, best_read, gmacs);
  std::fflush(stdout);
}

void BenchAttentions(const Kernels& kernels, const Memory& memory) {
  if (std::string_view(kernels.name) == "reference") return;
  for (const KvType type : {kKvBf16, kKvFloat32, kKvInt8}) {
    for (const size_t num_queries : {1u, 8u}) {
      for (const size_t num_keys : {256u, 1024u, 4096u}) {
        BenchAttention(kernels, type, num_queries, num_keys, memory);
      }
    }
  }
}

void BenchRows(const Kernels& kernels) {
  constexpr size_t kCols = 6912;
  constexpr size_t kVocabulary = 128256;
  std::vector<float> x(kVocabulary);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7919 % 1009) * 0.01f - 5.0f;
  std::vector<float> y = x;
  const Aligned<int8_t> values(2 * kCols);
  float scale = 0.0f;
  int32_t sum = 0;
  size_t chosen = 0;
  const DrawKey key{1, 2, 3};
  const auto row = static_cast<double>(kCols);
  const auto logits = static_cast<double>(kVocabulary);
  ReportCall(kernels, "rms_norm 6912", row, "G/s",
             [&] { kernels.rms_norm(x.data(), x.data(), kCols, 1e-5f, y.data()); });
  ReportCall(kernels, "quantize 6912", row, "G/s",
             [&] { kernels.quantize(x.data(), kCols, 1e-5F, values.get(), &scale, &sum); });
  ReportCall(kernels, "relu2_mul 6912", row, "G/s",
             [&] { kernels.relu2_mul(y.data(), x.data(), kCols); });
  ReportCall(kernels, "argmax 128256", logits, "G/s",
             [&] { chosen += kernels.argmax(x.data(), kVocabulary); });
  ReportCall(kernels, "sum_exp 128256", logits, "G/s",
             [&] { scale += kernels.sum_exp(x.data(), kVocabulary, 5.0f, 1.0f); });
  ReportCall(kernels, "gumbel_argmax 128256", logits, "G/s",
             [&] { chosen += kernels.gumbel_argmax(x.data(), kVocabulary, 1.0f, -100.0f, &key); });
  if (chosen == 0 && scale < 0.0f) std::printf("(unreachable: keeps the calls)\n");
}

constexpr Shape kTernaryShapes[] = {
    {"ternary 2560x2560", 2560, 2560},
    {"ternary 13824x2560", 13824, 2560},
    {"ternary 2560x6912", 2560, 6912},
};
constexpr Shape kHead = {"head 128256x2560", 128256, 2560};

void Bench(const Kernels& kernels, const std::vector<size_t>& batches, Memory& memory) {
  std::printf("%-12s %-8s %-20s %2s %5s\n", "kernels", "packing", "matrix", "thr", "tokens");
  for (const size_t num_threads : {1u, 2u}) {
    for (size_t i = 0; i < kernels.num_packings; ++i) {
      for (const Shape& shape : kTernaryShapes) {
        BenchTernary(kernels, kernels.packings[i], shape, num_threads, batches, memory);
      }
    }
    BenchHeadPlanes(kernels, kHead, num_threads, memory);
  }
  BenchAttentions(kernels, memory);
  BenchRows(kernels);
}

}  // namespace
}  // namespace tercet

int main(int argc, char** argv) {
  try {
    tercet::Memory memory;
    const bool only_attention = argc >= 3 && std::strcmp(argv[2], "attention") == 0;
    std::vector<size_t> batches;
    for (int i = 2; i < argc && !only_attention; ++i) {
      batches.push_back(std::clamp<size_t>(std::stoul(argv[i]), 1, tercet::kMaxTokens));
    }
    if (batches.empty()) batches = {1, 2, 4, 8, 16, 64, 512};
    for (const tercet::Kernels* kernels : tercet::SupportedKernels()) {
      if (argc >= 2 && std::strcmp(argv[1], kernels->name) != 0) continue;
      if (only_attention) {
        tercet::BenchAttentions(*kernels, memory);
      } else {
        tercet::Bench(*kernels, batches, memory);
      }
    }
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
