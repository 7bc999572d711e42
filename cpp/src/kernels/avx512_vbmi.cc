// Kernels for AVX-512 with VNNI and VBMI (Ice Lake, Zen 4 and later): look-ups of bytes in a
// register make packings below 2 bits a weight as fast to unpack.
#include "kernels/avx512/five_in_eight.h"
#include "kernels/avx512/grouped.h"
#include "kernels/avx512/set.h"
#include "kernels/avx512/two_bit.h"

namespace tercet {

extern const Kernels kAvx512VbmiKernels;

namespace {

constexpr TernaryPacking kPackings[] = {kTwoBitPacking, kFiveInEightPacking};

constexpr GroupedPacking kGroupedPackings[] = {kGroupedTwoBitPacking};

}  // namespace

constexpr Kernels kAvx512VbmiKernels =
    SetOf("avx512_vbmi", kAvx512VnniFeatures | kAvx512Vbmi, kPackings, kGroupedPackings);

}  // namespace tercet
