// The threads that compute, and the one way they are given work.
#pragma once

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace tercet {

// `num_threads` workers, one of them the thread that calls Run. Workers take task numbers from a
// shared counter, so a thread that the system has put aside delays one task and not a fixed share.
// Between two calls they spin for a moment and then sleep: a decoding step makes hundreds of calls
// a few microseconds apart, an idle server none.
//
// Who computes a task must never matter to its result: tasks write disjoint outputs.
class ThreadPool {
 public:
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

 private:
  using Function = void (*)(const void* context, std::size_t task, std::size_t worker);

  void RunErased(std::size_t num_tasks, Function function, const void* context);
  void Work(std::size_t worker);
  void TakeTasks(std::size_t worker);

  // The work at hand: written before `round_` is raised, read after it was seen to rise.
  Function function_ = nullptr;
  const void* context_ = nullptr;
  std::size_t num_tasks_ = 0;

  alignas(64) std::atomic<std::size_t> next_task_{0};
  alignas(64) std::atomic<std::size_t> num_busy_{0};  // workers that have not finished this round
  alignas(64) std::atomic<std::uint32_t> round_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace tercet
