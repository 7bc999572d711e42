#include "tercet/thread_pool.h"

#include <cassert>
#include <cstdint>

namespace tercet {
namespace {

// Some tens of microseconds: longer than the serial part between two matrices, short enough that
// threads of an idle or crowded machine do not burn its cores.
constexpr int kSpinsBeforeSleep = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // YIELD takes no time on most cores; this about as long as x86's PAUSE
#endif
}

}  // namespace

ThreadPool::ThreadPool(std::size_t num_threads) {
  workers_.reserve(num_threads > 0 ? num_threads - 1 : 0);
  try {
    for (std::size_t worker = 1; worker < num_threads; ++worker) {
      workers_.emplace_back([this, worker] { Work(worker); });
    }
  } catch (
      ...) {  // the system gives no more threads; those there are must end before they are freed
    Join();
    throw;
  }
}

ThreadPool::~ThreadPool() { Join(); }

void ThreadPool::Join() {
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
  assert(num_tasks < kMaxTasks);
  function_ = function;
  context_ = context;
  num_done_.store(0, std::memory_order_relaxed);
  claims_.store(static_cast<std::uint64_t>(num_tasks) << 32, std::memory_order_release);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  ClaimTasks(0);
  for (int spins = 0; num_done_.load(std::memory_order_acquire) != num_tasks; ++spins) {
    if (spins < kSpinsBeforeSleep) {
      Pause();
    } else {
      std::this_thread::yield();  // whoever is in the last task needs this core more
    }
  }
}

void ThreadPool::Work(std::size_t worker) {
  std::uint32_t seen = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    for (int spins = 0; round_.load(std::memory_order_acquire) == seen; ++spins) {
      if (spins < kSpinsBeforeSleep) {
        Pause();
      } else {
        round_.wait(seen, std::memory_order_acquire);
      }
    }
    seen = round_.load(std::memory_order_acquire);
    ClaimTasks(worker);
  }
}

void ThreadPool::ClaimTasks(std::size_t worker) {
  std::uint64_t claims = claims_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t task = claims & 0xffffffffU;
    if (task >= claims >> 32) {
      return;
    }
    // Acquire: the fields of the round whose task this is are visible from here on.
    if (claims_.compare_exchange_weak(claims, claims + 1, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
      function_(context_, task, worker);
      num_done_.fetch_add(1, std::memory_order_release);
      claims = claims_.load(std::memory_order_relaxed);
    }
  }
}

}  // namespace tercet
