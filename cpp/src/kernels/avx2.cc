// Kernels for AVX2 with FMA (Haswell, Zen 1 and later).
#include "kernels/avx2/dot_maddubs.h"
// The products come first: the set is written over them.
#include "kernels/avx2/set.h"

namespace tercet {

extern const Kernels kAvx2Kernels;

namespace {

constexpr TernaryPacking kPackings[] = {kTwoBitPacking};

}  // namespace

constexpr Kernels kAvx2Kernels = SetOf("avx2", kAvx2Features, kPackings, kGroupedPackings);

}  // namespace tercet
