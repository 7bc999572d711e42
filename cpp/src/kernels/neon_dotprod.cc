// Kernels for ARM with dot products of bytes (Cortex-A75 and later, Neoverse N1, Apple A11 and M1).
#include "kernels/neon/dot_sdot.h"
// The lanes and products come first: the algorithms are written over them.
#include "kernels/vector128/panel.h"
// The packings are written over the panel.
#include "kernels/neon/head_sdot.h"
#include "kernels/vector128/grouped.h"
// The head's tiles are written over its columns.
#include "kernels/vector128/head_tiles.h"
// The set is written over the products.
#include "kernels/generic/set.h"

namespace tercet {

extern const Kernels kNeonDotProdKernels;

constexpr Kernels kNeonDotProdKernels =
    SetOf("neon_dotprod", kArmDotProd, kPackings, kGroupedPackings);

}  // namespace tercet
