// Ternary blocks, a code a byte: -1, 0 and 1 as 0, 1 and 2 (and 2 d of Q2_0 as 3).
#pragma once

#include <cstddef>
#include <cstdint>

#include "tercet/tensor_source.h"

namespace tercet {

inline constexpr std::uint8_t kNoWeight = 3;  // what no ternary weight has

// Codes of the whole row `row` of the file, one a byte, and its blocks' scales where it has any:
// scales[cols / block]. For the layouts hf_packed, i2_s, tq1_0, tq2_0, q2_0_* and ptq1_0.
void ReadCodes(const TensorSource& source, std::size_t row, std::uint8_t* codes, float* scales);

// Codes of one block of a layout whose blocks have scales, at most kMaxBlock of them; returns the
// scale.
inline constexpr std::size_t kMaxBlock = 256;
float ReadBlock(Layout layout, const std::uint8_t* block, std::uint8_t* codes);

// Whether a layout is one of these.
bool IsTernary(Layout layout);

// Whether its blocks have scales.
bool HasBlockScales(Layout layout);

}  // namespace tercet
