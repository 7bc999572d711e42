#include "tercet/thread_pool.h"

#include <cstdint>

namespace tercet {
namespace {

// About 20 µs: longer than the serial part between two matrices, short enough that threads of an
// idle or crowded machine do not burn its cores.
constexpr int kSpinsBeforeSleep = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(std::size_t num_threads) {
  workers_.reserve(num_threads > 0 ? num_threads - 1 : 0);
  for (std::size_t worker = 1; worker < num_threads; ++worker) {
    workers_.emplace_back([this, worker] { Work(worker); });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void ThreadPool::RunErased(std::size_t num_tasks, Function function, const void* context) {
  if (num_tasks <= 1 || workers_.empty()) {
    for (std::size_t i = 0; i < num_tasks; ++i) {
      function(context, i, 0);
    }
    return;
  }
  function_ = function;
  context_ = context;
  num_tasks_ = num_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  num_busy_.store(workers_.size(), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  TakeTasks(0);
  // Every worker must have left this round before its fields may be written again.
  for (int spins = 0; num_busy_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpinsBeforeSleep) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::Work(std::size_t worker) {
  std::uint32_t seen = 0;
  for (;;) {
    for (int spins = 0; round_.load(std::memory_order_acquire) == seen; ++spins) {
      if (spins < kSpinsBeforeSleep) {
        Pause();
      } else {
        round_.wait(seen, std::memory_order_acquire);
      }
    }
    ++seen;  // rounds are never missed: the next one begins only when all have finished this one
    if (stopping_.load(std::memory_order_relaxed)) {
      return;
    }
    TakeTasks(worker);
    num_busy_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::TakeTasks(std::size_t worker) {
  for (std::size_t i = next_task_.fetch_add(1, std::memory_order_relaxed); i < num_tasks_;
       i = next_task_.fetch_add(1, std::memory_order_relaxed)) {
    function_(context_, i, worker);
  }
}

}  // namespace tercet
