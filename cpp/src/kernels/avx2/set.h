// A kernel set of 256 bits: what all of them have. The including file supplies its products first.
#pragma once

#include "kernels/kernels.h"
#include "kernels/lanes_avx2.h"
// The lanes come first: the products are written over them, and the set over these.
#include "kernels/avx2/grouped.h"
#include "kernels/avx2/head.h"
// The set is written over the products.
#include "kernels/generic/set.h"

namespace tercet {
namespace {

constexpr uint32_t kAvx2Features = kAvx2 | kFma | kF16c | kBmi2;

}  // namespace
}  // namespace tercet
