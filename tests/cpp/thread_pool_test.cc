// Every task once, whatever the number of tasks and threads, and no round mixes with the next.
#include "tercet/thread_pool.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
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

TEST(PoolsOfSeveralThreadsDoNotMix) {
  constexpr std::size_t kCallers = 4;
  std::atomic<std::size_t> num_wrong{0};
  std::vector<std::jthread> callers;
  for (std::size_t caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&num_wrong, caller] {
      ThreadPool pool(1 + caller);
      std::vector<std::size_t> values(97, 0);
      for (std::size_t round = 1; round <= 400; ++round) {
        const std::size_t count = 1 + round * (caller + 3) % values.size();
        pool.Run(count, [&](std::size_t task, std::size_t) { values[task] = round * task; });
        for (std::size_t task = 0; task < count; ++task) {
          if (values[task] != round * task) ++num_wrong;
        }
      }
    });
  }
  callers.clear();  // joins them
  EXPECT_EQ(num_wrong.load(), 0U);
}

TEST(APoolMayBeHandedFromThreadToThread) {
  ThreadPool pool(3);
  std::vector<int> values(64, 0);
  for (int round = 0; round < 60; ++round) {
    std::jthread([&] {
      pool.Run(values.size(), [&](std::size_t task, std::size_t) { ++values[task]; });
    }).join();
  }
  for (const int value : values) {
    EXPECT_EQ(value, 60);
  }
}

TEST(APoolMayEndAtAnyMoment) {
  std::atomic<std::size_t> num_runs{0};
  std::size_t num_wanted = 0;
  for (std::size_t round = 0; round < 300; ++round) {
    ThreadPool pool(1 + round % 5);
    for (std::size_t i = 0; i < round % 3; ++i) {  // none: the workers may not even have begun
      pool.Run(round % 7, [&](std::size_t, std::size_t) { ++num_runs; });
      num_wanted += round % 7;
    }
    if (round % 50 == 49) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(num_runs.load(), num_wanted);
}

TEST(ARoundAfterTasksThatKeptTheirFaultsIsWhole) {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> faults(32);  // no task lets one out: nobody would catch it
    pool.Run(faults.size(), [&](std::size_t task, std::size_t) {
      try {
        if (task % 3 == 0) throw std::invalid_argument(std::to_string(task));
      } catch (const std::invalid_argument& error) {
        faults[task] = error.what();
      }
    });
    for (std::size_t task = 0; task < faults.size(); ++task) {
      EXPECT_EQ(faults[task], task % 3 == 0 ? std::to_string(task) : "");
    }
  }
}

}  // namespace tercet::test
