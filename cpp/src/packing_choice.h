// Which packing a model's ternary matrices are kept in.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "head.h"
#include "kernels/kernels.h"
#include "linear.h"
#include "tercet/config.h"
#include "tercet/thread_pool.h"

namespace tercet {

// What stands for "whichever is fastest here".
inline constexpr std::string_view kAutoPacking = "auto";

// Every packing that a kernel set knows for a grid, at least one; the first is the safe choice.
std::vector<WeightPacking> Packings(const Kernels& kernels, Grid grid);

// The packing of that name. Throws std::invalid_argument, naming those there are, if the set does
// not have it.
WeightPacking FindPacking(const Kernels& kernels, Grid grid, std::string_view name);

// The index of the smallest of those which are about as fast as the fastest.
std::size_t SmallestOfFastest(std::span<const double> seconds, std::span<const std::size_t> bytes);

// The packing in which these threads multiply the model's largest matrix by one token fastest:
// tried for a fraction of a second on as much memory as the model has, up to a size that does not
// stay in caches. Of packings about as fast it is the smallest; a model so small that the choice
// is not worth a measurement gets the set's first one.
WeightPacking FastestPacking(const Kernels& kernels, const ModelConfig& config, ThreadPool& pool);

// Bytes of all matrices of a model in that packing, with the scales of their rows and the head; for
// "auto" of the packing that takes the most. Throws as FindPacking does.
std::size_t WeightBytesOf(const Kernels& kernels, const ModelConfig& config, HeadKind head,
                          std::string_view packing);

}  // namespace tercet
