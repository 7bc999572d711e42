// Kernels for any AArch64 CPU: NEON is in its baseline (Cortex-A53, A72 and their kin have no
// more).
#include "kernels/neon/dot_widening.h"
// The lanes and products come first: the algorithms are written over them.
#include "kernels/vector128/panel.h"
// The packings are written over the panel.
#include "kernels/vector128/grouped.h"
#include "kernels/vector128/head.h"
// The head's tiles are written over its columns.
#include "kernels/vector128/head_tiles.h"
// The set is written over the products.
#include "kernels/generic/set.h"

namespace tercet {

extern const Kernels kNeonKernels;

constexpr Kernels kNeonKernels = SetOf("neon", 0, kPackings, kGroupedPackings);

}  // namespace tercet
