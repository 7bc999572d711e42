// A kernel set for AVX-512: what all of them have, but for the ternary packings.
#pragma once

#include "kernels/avx512/head.h"
#include "kernels/generic/attention.h"
#include "kernels/generic/head.h"
#include "kernels/generic/logits.h"
#include "kernels/generic/rows.h"

namespace tercet {
namespace {

constexpr uint32_t kAvx512VnniFeatures = kAvx2 | kFma | kF16c | kBmi2 | kAvx512 | kAvx512Vnni;

template <size_t kNumPackings>
constexpr Kernels Avx512Set(const char* name, uint32_t required,
                            const TernaryPacking (&packings)[kNumPackings]) {
  return {
      .name = name,
      .required = required,
      .packings = packings,
      .num_packings = kNumPackings,
      .head_pack = HeadPack,
      .head_quantize = HeadQuantize,
      .head_dot = HeadDot,
      .head_dots = HeadDots,
      .head_gemm = HeadGemm,
      .screen = ScreenTokens,
      .bf16_gemm = Bf16Gemm,
      .rms_norm = RmsNorm,
      .quantize = Quantize,
      .relu2_mul = Relu2Mul,
      .add = AddRow,
      .widen = WidenRow,
      .rope = Rope,
      .store_kv = StoreKv,
      .attention = kAttention,
      .argmax = Argmax,
      .sum_exp = SumExp,
      .gumbel_argmax = GumbelArgmax,
  };
}

}  // namespace
}  // namespace tercet
