// Rows of any layout as numbers: embeddings and heads, and matrices that may turn out ternary.
#pragma once

#include <cstddef>

#include "tercet/tensor_source.h"

namespace tercet {

// out[cols] = row `row` of the matrix, times the source's scale.
void ReadNumbers(const TensorSource& source, std::size_t row, float* out);

}  // namespace tercet
