// On which grid is a matrix of numbers ternary, if on any?
#pragma once

#include <array>
#include <cstddef>

#include "tercet/tensor_source.h"
#include "tercet/thread_pool.h"

namespace tercet {

// Columns that may share a magnitude, largest first; 0: the whole row.
inline constexpr std::array<std::size_t, 4> kGridGroups{0, 256, 128, 64};

// Of each grid, how many weights are not on it. Throws std::invalid_argument as ReadTernaryRow.
std::array<std::size_t, kGridGroups.size()> CountOffGrid(const TensorSource& source,
                                                         ThreadPool& pool);

}  // namespace tercet
