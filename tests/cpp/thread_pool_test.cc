// Every task once, whatever the number of tasks and threads, and no round mixes with the next.
#include "tercet/thread_pool.h"

#include <atomic>
#include <string>
#include <vector>

#include "test.h"

namespace tercet::test {

TEST(EveryTaskRunsOnce) {
  for (const std::size_t threads : {1U, 2U, 3U, 8U}) {
    ThreadPool pool(threads);
    for (const std::size_t num_tasks : {0U, 1U, 2U, 7U, 64U, 1000U}) {
      std::vector<std::atomic<int>> runs(num_tasks);
      pool.Run(num_tasks, [&](std::size_t task, std::size_t) { ++runs[task]; });
      for (std::size_t task = 0; task < num_tasks; ++task) {
        EXPECT_EQ_AT(runs[task].load(), 1,
                     std::to_string(threads) + " threads, task " + std::to_string(task));
      }
    }
  }
}

TEST(ARoundSeesWhatTheRoundBeforeItWrote) {
  ThreadPool pool(4);
  std::vector<int> values(257, 0);  // not atomic: Run's end and beginning must order the accesses
  constexpr int kRounds = 3000;
  for (int round = 0; round < kRounds; ++round) {
    const std::size_t shift = static_cast<std::size_t>(round) % values.size();
    pool.Run(values.size(), [&](std::size_t task, std::size_t) {
      ++values[(task + shift) % values.size()];  // another thread's value of the last round
    });
  }
  for (const int value : values) {
    EXPECT_EQ(value, kRounds);
  }
}

TEST(WorkersOfSimultaneousTasksDiffer) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> busy(pool.num_threads());
  std::atomic<bool> clash{false};
  pool.Run(2000, [&](std::size_t, std::size_t worker) {
    if (worker >= busy.size() || busy[worker].fetch_add(1) != 0) {
      clash = true;
      return;
    }
    busy[worker].fetch_sub(1);
  });
  EXPECT(!clash.load());
}

TEST(APoolThatSleptWakesUp) {
  ThreadPool pool(2);
  std::atomic<int> sum{0};
  for (int round = 0; round < 5; ++round) {
    pool.Run(16, [&](std::size_t, std::size_t) { ++sum; });
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than workers spin
  }
  EXPECT_EQ(sum.load(), 80);
}

}  // namespace tercet::test
