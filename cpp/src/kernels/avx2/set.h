// A kernel set of 256 bits: what all of them have. The including file supplies its products first.
#pragma once

#include "kernels/kernels.h"
#include "kernels/lanes_avx2.h"
// The lanes come first: the algorithms are written over them.
#include "kernels/avx2/head.h"
#include "kernels/avx2/panel.h"
#include "kernels/generic/attention.h"
#include "kernels/generic/head.h"
#include "kernels/generic/logits.h"
#include "kernels/generic/rows.h"

namespace tercet {
namespace {

constexpr uint32_t kAvx2Features = kAvx2 | kFma | kF16c | kBmi2;

template <size_t kNumPackings>
constexpr Kernels Avx2Set(const char* name, uint32_t required,
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
