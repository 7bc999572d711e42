// Kernels for AMX with AVX-512 (Sapphire Rapids and later).
#include "kernels/amx/tiles.h"
// The tiles come first: the products are written over them.
#include "kernels/amx/set.h"

namespace tercet {

extern const Kernels kAmxKernels;

constexpr Kernels kAmxKernels = AmxSet("amx", kBesideTiles | kAmxInt8);

}  // namespace tercet
