// Kernels for SSSE3 and SSE4.1 (Penryn to Ivy Bridge), CPUs without fused multiply-add.
#include "kernels/kernels.h"
#include "kernels/sse41/dot_maddubs.h"
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

extern const Kernels kSse41Kernels;

constexpr Kernels kSse41Kernels = SetOf("sse41", kSsse3 | kSse41, kPackings, kGroupedPackings);

}  // namespace tercet
