// Exp, Log and the random numbers: their definition, one number at a time. `generic/math.h` is the
// same for 16 lanes, operation by operation, so that both give the same bits.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

namespace tercet {
namespace {

inline uint32_t BitsOf(float value) {
  uint32_t bits = 0;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float FloatOf(uint32_t bits) {
  float value = 0.0f;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// A float16 number that is finite: sign, 5 bits of exponent (bias 15), 10 of mantissa.
inline float FloatOfHalf(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  const float value = magnitude < 0x400u ? static_cast<float>(magnitude) * 0x1p-24f
                                         : FloatOf((magnitude << 13) + 0x38000000u);
  return FloatOf(BitsOf(value) | sign);
}

// NOLINTBEGIN(modernize-use-std-numbers): the digits are the definition, to the last one.

// e^x = 2^n * e^r with n = round(x / ln 2), |r| <= ln(2) / 2, and e^r a polynomial (Cephes' expf).
// Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. Inputs above 88 count
// as 88.
inline float Exp(float x) {
  const float y = 88.0f < x ? 88.0f : x;
  const float shifted = fmaf(y, 1.44269504f, 12582912.0f);
  const float n = shifted - 12582912.0f;
  float r = fmaf(n, -0.693359375f, y);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(p, r * r, r) + 1.0f;
  const float power = FloatOf((BitsOf(shifted) << 23) + 0x3f800000u);
  return y < -87.0f ? 0.0f : p * power;
}

// The natural logarithm of a positive normal number: x = m * 2^e with m in [sqrt(1/2), sqrt(2)),
// log m = f - f²/2 + f³ P(f) with f = m - 1 (Cephes' logf).
inline float Log(float x) {
  const uint32_t shifted = BitsOf(x) - 0x3f3504f3u;
  const auto e = static_cast<float>(static_cast<int32_t>(shifted) >> 23);
  const float f = FloatOf((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  const float square = f * f;
  float p = 7.0376836292e-2f;
  p = fmaf(p, f, -1.1514610310e-1f);
  p = fmaf(p, f, 1.1676998740e-1f);
  p = fmaf(p, f, -1.2420140846e-1f);
  p = fmaf(p, f, 1.4249322787e-1f);
  p = fmaf(p, f, -1.6668057665e-1f);
  p = fmaf(p, f, 2.0000714765e-1f);
  p = fmaf(p, f, -2.4999993993e-1f);
  p = fmaf(p, f, 3.3333331174e-1f);
  float y = (p * f) * square;
  y = fmaf(e, -2.12194440e-4f, y);
  y = fmaf(square, -0.5f, y);
  return fmaf(e, 0.693359375f, f + y);
}

// NOLINTEND(modernize-use-std-numbers)

struct Philox {
  uint32_t words[4];
};

// Philox4x32-10: ten rounds of two 32 × 32 bit products each.
inline Philox PhiloxOf(Philox counter, uint32_t key0, uint32_t key1) {
  uint32_t* c = counter.words;
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * c[2];
    c[0] = static_cast<uint32_t>(b >> 32) ^ c[1] ^ key0;
    c[1] = static_cast<uint32_t>(b);
    c[2] = static_cast<uint32_t>(a >> 32) ^ c[3] ^ key1;
    c[3] = static_cast<uint32_t>(a);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

inline float Gumbel(const DrawKey& key, size_t index) {
  const Philox counter = {{static_cast<uint32_t>(index / 4), key.position, key.choice, 0}};
  const Philox random =
      PhiloxOf(counter, static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32));
  const float u = (static_cast<float>(random.words[index % 4] >> 9) + 0.5f) * 0x1p-23f;
  return -Log(-Log(u));
}

}  // namespace
}  // namespace tercet
