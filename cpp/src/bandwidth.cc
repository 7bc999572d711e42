#include "tercet/bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "tercet/aligned_buffer.h"
#include "tercet/thread_pool.h"

namespace tercet {
namespace {

constexpr std::size_t kStreams = 4;
constexpr std::size_t kWordsPerLine = 8;

// Reads one word of every cache line of `kStreams` neighbouring ranges, in turn.
std::uint64_t ReadStreams(const std::uint64_t* words, std::size_t num_words) {
  const std::size_t per_stream = num_words / kStreams / kWordsPerLine * kWordsPerLine;
  std::uint64_t sums[kStreams] = {};
  for (std::size_t i = 0; i < per_stream; i += kWordsPerLine) {
    for (std::size_t stream = 0; stream < kStreams; ++stream) {
      sums[stream] += words[stream * per_stream + i];
    }
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

double MeasureBandwidth(std::size_t num_threads, std::size_t num_bytes, std::size_t num_rounds) {
  ThreadPool pool(num_threads);
  const std::size_t per_task = num_bytes / sizeof(std::uint64_t) / (num_threads * 4);
  const std::size_t num_tasks = num_threads * 4;
  AlignedBuffer<std::uint64_t> memory(per_task * num_tasks,
                                      AlignedBuffer<std::uint64_t>::Pages::kHuge);
  std::atomic<std::uint64_t> sink{0};
  pool.Run(num_tasks, [&](std::size_t task, std::size_t) {  // so that every page is really there
    std::fill_n(memory.data() + task * per_task, per_task, task + 1);
  });
  double best = 0;
  for (std::size_t round = 0; round < num_rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    pool.Run(num_tasks, [&](std::size_t task, std::size_t) {
      sink.fetch_add(ReadStreams(memory.data() + task * per_task, per_task));
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(memory.bytes()) / seconds.count());
  }
  return best;
}

}  // namespace tercet
