// Kernels for AVX-512 with VNNI (Ice Lake, Zen 4 and later).
#include "kernels/avx512/grouped.h"
#include "kernels/avx512/set.h"
#include "kernels/avx512/two_bit.h"

namespace tercet {

extern const Kernels kAvx512VnniKernels;

namespace {

constexpr TernaryPacking kPackings[] = {kTwoBitPacking};

constexpr GroupedPacking kGroupedPackings[] = {kGroupedTwoBitPacking};

}  // namespace

constexpr Kernels kAvx512VnniKernels =
    SetOf("avx512_vnni", kAvx512VnniFeatures, kPackings, kGroupedPackings);

}  // namespace tercet
