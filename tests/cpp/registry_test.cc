// Which set runs is never a surprise.
#include <stdexcept>

#include "fixtures.h"

namespace tercet::test {
namespace {

std::string RefusalOf(const std::string& name) {
  try {
    SelectKernels(name);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST(the_reference_is_always_there_and_the_last_choice) {
  EXPECT_EQ(std::string(AllKernels().back()->name), "reference");
  EXPECT_EQ(std::string(SupportedKernels().back()->name), "reference");
  EXPECT_EQ(AllKernels().back()->required, 0u);
}

TEST(no_name_gives_the_best_that_this_machine_can_run) {
  EXPECT(&SelectKernels("") == SupportedKernels().front());
}

TEST(a_set_can_be_chosen_by_its_name) {
  for (const Kernels* kernels : SupportedKernels()) {
    EXPECT(&SelectKernels(kernels->name) == kernels);
  }
}

TEST(an_unknown_name_is_refused_with_what_there_is) {
  const std::string refusal = RefusalOf("avx9");
  EXPECT(Contains(refusal, "'avx9'"));
  for (const Kernels* kernels : SupportedKernels()) EXPECT(Contains(refusal, kernels->name));
}

TEST(a_set_this_machine_cannot_run_is_refused_with_what_it_lacks) {
  for (const Kernels* kernels : AllKernels()) {
    const uint32_t missing = kernels->required & ~DetectCpuFeatures();
    if (missing == 0) continue;
    EXPECT(Contains(RefusalOf(kernels->name), FeatureNames(missing).front()));
  }
}

TEST(every_required_feature_has_a_name) {
  for (const Kernels* kernels : AllKernels()) {
    const auto wanted = static_cast<size_t>(std::popcount(kernels->required));
    EXPECT_EQ(FeatureNames(kernels->required).size(), wanted);
  }
}

KERNEL_TEST(the_self_test_passes_on_this_machine) {
  EXPECT_EQ(SelfTest(kernels).value_or("nothing differs"), "nothing differs");
}

TEST(the_self_test_names_the_function_that_differs) {
  Kernels broken = Reference();
  broken.name = "broken";
  broken.add = [](float* x, const float*, size_t) { x[0] = 0.0f; };
  const std::string finding = SelfTest(broken).value_or("");
  EXPECT(Contains(finding, "broken"));
  EXPECT(Contains(finding, "add"));
}

}  // namespace tercet::test
