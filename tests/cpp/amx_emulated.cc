// The AMX set with tiles in memory: everything but the tile instructions is what AMX machines run.
#include "tiles_emulated.h"
// The tiles come first: the products are written over them.
#include "kernels/amx/set.h"

namespace tercet {

extern const Kernels kAmxEmulatedKernels;

constexpr Kernels kAmxEmulatedKernels = AmxSet("amx_emulated", kBesideTiles);

}  // namespace tercet
