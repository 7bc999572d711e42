// Memory, codes and nibbles for NEON: what all of its sets supply to vector128/ alike.
#pragma once

#include "kernels/kernels.h"
#include "kernels/lanes_neon.h"

namespace tercet {
namespace {

using Vector = uint8x16_t;

inline Vector LoadVector(const void* from) { return vld1q_u8(static_cast<const uint8_t*>(from)); }
inline void StoreVector(Vector x, void* to) { vst1q_u8(static_cast<uint8_t*>(to), x); }

inline Floats LoadHalves(const uint8_t* from) {
  return Each<Floats>(
      [&](int q) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from + 8 * q))); });
}

template <int j>
inline Vector CodesOf(Vector line) {
  if constexpr (j == 0) {
    return vandq_u8(line, vdupq_n_u8(3));
  } else if constexpr (j == 3) {
    return vshrq_n_u8(line, 6);
  } else {
    return vandq_u8(vshrq_n_u8(line, 2 * j), vdupq_n_u8(3));
  }
}

// a + b modulo 2^32: GCC's vaddq_s32 is the language's addition, which must not overflow.
inline int32x4_t AddWords(int32x4_t a, int32x4_t b) {
  return vreinterpretq_s32_u32(vaddq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}

// Sixteen activations of a token.
using Columns = int8x16_t;
inline Columns LoadColumns(const int8_t* from) { return vld1q_s8(from); }

}  // namespace
}  // namespace tercet
