// A kernel set: the products of its registers' width, which the including file supplies, and the
// algorithms of this folder.
#pragma once

#include "kernels/generic/attention.h"
#include "kernels/generic/head.h"
#include "kernels/generic/logits.h"
#include "kernels/generic/rows.h"

namespace tercet {
namespace {

template <size_t kNumPackings, size_t kNumGrouped>
constexpr Kernels SetOf(const char* name, uint32_t required,
                        const TernaryPacking (&packings)[kNumPackings],
                        const GroupedPacking (&grouped)[kNumGrouped]) {
  return {
      .name = name,
      .required = required,
      .packings = packings,
      .num_packings = kNumPackings,
      .grouped_packings = grouped,
      .num_grouped_packings = kNumGrouped,
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
      .silu_mul = SiluMul,
      .add = AddRow,
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
