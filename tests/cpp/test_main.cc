#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>
#include <vector>

#include "test.h"

namespace tercet {

#if defined(__x86_64__)
extern const Kernels kAmxEmulatedKernels;
#endif

namespace test {
namespace {

// What this machine serves with, and what only tests run.
std::vector<const Kernels*> TestedKernels() {
  std::vector<const Kernels*> sets = SupportedKernels();
#if defined(__x86_64__)
  if ((kAmxEmulatedKernels.required & ~DetectCpuFeatures()) == 0) {
    sets.push_back(&kAmxEmulatedKernels);
  }
#endif
  return sets;
}

// The tested set of that name, all of them for "".
std::vector<const Kernels*> TestedKernels(std::string_view name) {
  std::vector<const Kernels*> chosen;
  for (const Kernels* kernels : TestedKernels()) {
    if (name.empty() || name == kernels->name) chosen.push_back(kernels);
  }
  if (chosen.empty()) chosen.push_back(&SelectKernels(name));
  return chosen;
}

struct Case {
  std::string name;
  Function plain = nullptr;
  KernelFunction for_kernels = nullptr;
};

struct Run {
  std::vector<Case> cases;
  uint64_t seed = 20260101;
  int failures_of_case = 0;
};

Run& CurrentRun() {
  static Run run;
  return run;
}

template <class Body>
bool Passes(const std::string& name, Body body) {
  Run& run = CurrentRun();
  run.failures_of_case = 0;
  try {
    body();
  } catch (const std::exception& error) {
    Fail(name.c_str(), 0, std::string("threw ") + error.what());
  }
  if (run.failures_of_case > 0) std::printf("FAILED %s\n", name.c_str());
  return run.failures_of_case == 0;
}

struct Options {
  std::string kernels;
  std::string substring;
};

bool Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const std::string_view value = argv[i + 1];
    if (flag == "--kernels") {
      options.kernels = value;
    } else if (flag == "--test") {
      options.substring = value;
    } else if (flag == "--seed") {
      std::from_chars(value.data(), value.data() + value.size(), CurrentRun().seed);
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

}  // namespace

bool Register(const char* name, Function function) {
  CurrentRun().cases.push_back({.name = name, .plain = function});
  return true;
}

bool Register(const char* name, KernelFunction function) {
  CurrentRun().cases.push_back({.name = name, .for_kernels = function});
  return true;
}

uint64_t Seed() { return CurrentRun().seed; }

void Fail(const char* file, int line, const std::string& what) {
  if (++CurrentRun().failures_of_case <= 10) std::printf("%s:%d: %s\n", file, line, what.c_str());
}

int Main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, options)) {
    std::printf("usage: %s [--kernels NAME] [--test SUBSTRING] [--seed N]\n", argv[0]);
    return 2;
  }
  const std::vector<const Kernels*> sets = TestedKernels(options.kernels);

  int passed = 0;
  int failed = 0;
  for (const Case& test : CurrentRun().cases) {
    if (test.name.find(options.substring) == std::string::npos) continue;
    if (test.plain != nullptr) ++(Passes(test.name, test.plain) ? passed : failed);
    if (test.for_kernels == nullptr) continue;
    for (const Kernels* kernels : sets) {
      const std::string name = test.name + " [" + kernels->name + "]";
      ++(Passes(name, [&] { test.for_kernels(*kernels); }) ? passed : failed);
    }
  }
  std::printf("%d passed, %d failed (seed %llu, sets", passed, failed,
              static_cast<unsigned long long>(Seed()));
  for (const Kernels* kernels : sets) std::printf(" %s", kernels->name);
  std::printf(")\n");
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace test
}  // namespace tercet

int main(int argc, char** argv) {
  try {
    return tercet::test::Main(argc, argv);
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 2;
  }
}
