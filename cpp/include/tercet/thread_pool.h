// The threads that compute, and the one way they are given work.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace tercet {

// `num_threads` workers, one of them the thread that calls Run. Workers claim task numbers one by
// one, and Run returns when all tasks are done: a worker that the system has put aside delays at
// most the one task it is in, and one that sleeps through a round delays nobody. Between two calls
// workers spin for a moment and then sleep: a decoding step makes hundreds of calls a few
// microseconds apart, an idle server none.
//
// Who computes a task must never matter to its result: tasks write disjoint outputs.
class ThreadPool {
 public:
  // A round must have fewer tasks than this.
  static constexpr std::size_t kMaxTasks = std::size_t{1} << 24;

  // Throws std::system_error if the system has no more threads to give.
  explicit ThreadPool(std::size_t num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t num_threads() const { return workers_.size() + 1; }

  // Calls task(i, worker) once for every i < num_tasks and returns when all are done. `worker` is
  // below num_threads and differs between tasks that run at the same time. One caller at a time.
  template <typename Task>
  void Run(std::size_t num_tasks, const Task& task) {
    const Function call = [](const void* context, std::size_t i, std::size_t worker) {
      (*static_cast<const Task*>(context))(i, worker);
    };
    RunErased(num_tasks, call, &task);
  }

  // Calls body(i, worker) for every i < count, so many per task that a task is worth handing over:
  // `cost` is the work of one i, in multiply-adds or values touched.
  template <typename Body>
  void ForEach(std::size_t count, std::size_t cost, const Body& body) {
    const std::size_t per_task =
        std::max<std::size_t>(1, kWorthwhile / std::max<std::size_t>(cost, 1));
    Run((count + per_task - 1) / per_task, [&](std::size_t task, std::size_t worker) {
      const std::size_t end = std::min(count, (task + 1) * per_task);
      for (std::size_t i = task * per_task; i < end; ++i) {
        body(i, worker);
      }
    });
  }

  // Work below this, a few microseconds, is done sooner by one thread than shared.
  static constexpr std::size_t kWorthwhile = std::size_t{1} << 15;

 private:
  using Function = void (*)(const void* context, std::size_t task, std::size_t worker);

  void RunErased(std::size_t num_tasks, Function function, const void* context);
  void Work(std::size_t worker);
  void ClaimTasks(std::size_t worker);
  void Join();

  // The round at hand. Written while no task is claimed; read only by who has claimed one.
  Function function_ = nullptr;
  const void* context_ = nullptr;

  // Tasks of this round (upper half) and the next one to claim (lower half). Claiming is one
  // compare-and-swap of both, so a worker that comes late to a round finds nothing to claim in it,
  // or claims a task of the round that is really at hand.
  alignas(64) std::atomic<std::uint64_t> claims_{0};
  alignas(64) std::atomic<std::size_t> num_done_{0};
  alignas(64) std::atomic<std::uint32_t> round_{0};  // what sleeping workers wait on
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace tercet
