// Which kernel sets this build has, and which of them this machine can run.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"

namespace tercet {

// Every set in this build, best first; "reference" is always last.
std::span<const Kernels* const> AllKernels();

// Those that this CPU and OS can run, best first.
std::vector<const Kernels*> SupportedKernels();

// The set of that name, or the best for "". Throws std::invalid_argument which names what there is
// if the name is unknown or this CPU cannot run it: a forced set is never replaced silently.
const Kernels& SelectKernels(std::string_view name);

// CpuFeature bits of this machine, and their names ("avx2", ...).
uint32_t DetectCpuFeatures();
std::vector<std::string> FeatureNames(uint32_t features);

// Compares a set with the reference on a few hundred values of every function. Returns a sentence
// naming the first function that differs, or nothing.
std::optional<std::string> SelfTest(const Kernels& kernels);

}  // namespace tercet
