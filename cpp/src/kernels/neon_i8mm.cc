// Kernels for ARM with products of matrices of bytes (Neoverse V1 and N2, Graviton 3, Apple M2).
#include "kernels/neon/dot_sdot.h"
// The lanes and products come first: the algorithms are written over them.
#include "kernels/neon/panel_smmla.h"
// The packings are written over the panel.
#include "kernels/neon/head_sdot.h"
#include "kernels/vector128/grouped.h"
// The head's tiles are written over its columns.
#include "kernels/vector128/head_tiles.h"
// The set is written over the products.
#include "kernels/generic/set.h"

namespace tercet {

extern const Kernels kNeonI8mmKernels;

constexpr Kernels kNeonI8mmKernels =
    SetOf("neon_i8mm", kArmDotProd | kArmI8mm, kPackings, kGroupedPackings);

}  // namespace tercet
