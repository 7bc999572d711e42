// Kernels for AVX2 with AVX-VNNI (Alder Lake and later, Zen 5), where there is no AVX-512.
#include "kernels/avx2/dot_vnni.h"
// The products come first: the set is written over them.
#include "kernels/avx2/set.h"

namespace tercet {

extern const Kernels kAvxVnniKernels;

namespace {

constexpr TernaryPacking kPackings[] = {kTwoBitPacking};

}  // namespace

constexpr Kernels kAvxVnniKernels =
    SetOf("avx_vnni", kAvx2Features | kAvxVnni, kPackings, kGroupedPackings);

}  // namespace tercet
