// A kernel set for AVX-512: what all of them have, but for the ternary packings.
#pragma once

#include "kernels/avx512/head.h"
// The products come first: the set is written over them.
#include "kernels/generic/set.h"

namespace tercet {
namespace {

constexpr uint32_t kAvx512VnniFeatures = kAvx2 | kFma | kF16c | kBmi2 | kAvx512 | kAvx512Vnni;

}  // namespace
}  // namespace tercet
