// A small test library, after simdutf's: TEST(name) is a test, KERNEL_TEST(name) is one for every
// kernel set this machine can run and finds it in `kernels`. No test names an instruction set.
//
//   tercet_tests [--kernels NAME] [--test SUBSTRING] [--seed N]
#pragma once

#include <cstdint>
#include <sstream>
#include <string>

#include "kernels/registry.h"

namespace tercet::test {

using Function = void (*)();
using KernelFunction = void (*)(const Kernels&);

// Called at load by the macros below.
bool Register(const char* name, Function function);
bool Register(const char* name, KernelFunction function);

// The seed of this run's random inputs.
uint64_t Seed();

// Records a failure of the running test, which goes on; after ten of them it says no more.
void Fail(const char* file, int line, const std::string& what);

template <class A, class B>
void ExpectEqual(const char* file, int line, const char* expression, const A& actual,
                 const B& wanted, const std::string& where) {
  if (actual == wanted) return;
  std::ostringstream what;
  what << expression << " is " << actual << ", wanted " << wanted;
  if (!where.empty()) what << " (" << where << ")";
  Fail(file, line, what.str());
}

}  // namespace tercet::test

#define TEST(name)                                                              \
  static void name();                                                           \
  static const bool name##_registered = ::tercet::test::Register(#name, &name); \
  static void name()

#define KERNEL_TEST(name)                                                       \
  static void name(const ::tercet::Kernels& kernels);                           \
  static const bool name##_registered = ::tercet::test::Register(#name, &name); \
  static void name([[maybe_unused]] const ::tercet::Kernels& kernels)

#define EXPECT(condition) \
  if (!(condition)) ::tercet::test::Fail(__FILE__, __LINE__, #condition " is false")

#define EXPECT_EQ(actual, wanted) \
  ::tercet::test::ExpectEqual(__FILE__, __LINE__, #actual, actual, wanted, "")

#define EXPECT_EQ_AT(actual, wanted, where) \
  ::tercet::test::ExpectEqual(__FILE__, __LINE__, #actual, actual, wanted, where)
