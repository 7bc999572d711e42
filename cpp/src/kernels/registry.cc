// The one list of kernel sets, best first. A new set is a file, a line here and a line in
// CMakeLists.txt.
#include "kernels/registry.h"

#include <array>
#include <stdexcept>

namespace tercet {

#if defined(__x86_64__)
extern const Kernels kAmxKernels;
extern const Kernels kAvx512VbmiKernels;
extern const Kernels kAvx512VnniKernels;
extern const Kernels kAvxVnniKernels;
extern const Kernels kAvx2Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonI8mmKernels;
extern const Kernels kNeonDotProdKernels;
extern const Kernels kNeonKernels;
#endif
extern const Kernels kReferenceKernels;

namespace {

constexpr std::array kAll = {
#if defined(__x86_64__)
    &kAmxKernels,       &kAvx512VbmiKernels, &kAvx512VnniKernels, &kAvxVnniKernels, &kAvx2Kernels,
#elif defined(__aarch64__)
    &kNeonI8mmKernels,
    &kNeonDotProdKernels,
    &kNeonKernels,
#endif
    &kReferenceKernels,
};

bool IsSupported(const Kernels& kernels) { return (kernels.required & ~DetectCpuFeatures()) == 0; }

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

std::string SupportedNames() {
  std::vector<std::string> names;
  for (const Kernels* kernels : SupportedKernels()) {
    names.emplace_back(kernels->name);
  }
  return Joined(names);
}

}  // namespace

std::span<const Kernels* const> AllKernels() { return kAll; }

std::vector<const Kernels*> SupportedKernels() {
  std::vector<const Kernels*> supported;
  for (const Kernels* kernels : kAll) {
    if (IsSupported(*kernels)) {
      supported.push_back(kernels);
    }
  }
  return supported;
}

const Kernels& SelectKernels(std::string_view name) {
  if (name.empty()) {
    return *SupportedKernels().front();
  }
  for (const Kernels* kernels : kAll) {
    if (name != kernels->name) {
      continue;
    }
    if (IsSupported(*kernels)) {
      return *kernels;
    }
    const uint32_t missing = kernels->required & ~DetectCpuFeatures();
    throw std::invalid_argument(
        "kernel set '" + std::string(name) + "' needs " + Joined(FeatureNames(missing)) +
        ", which this CPU or its operating system does not offer; available: " + SupportedNames());
  }
  throw std::invalid_argument("there is no kernel set '" + std::string(name) +
                              "'; available on this machine: " + SupportedNames());
}

}  // namespace tercet
