// The output head: which logit each vocabulary entry gets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "tercet/aligned_buffer.h"
#include "tercet/thread_pool.h"

namespace tercet {

// int8 rows (the default: half the bytes of the checkpoint's table, and the sums are integers) or
// the table itself in bfloat16. The choice changes logits, so it is part of the model's
// fingerprint.
enum class HeadKind { kInt8, kBf16 };

// A bfloat16 table [rows][cols] that somebody else keeps alive; rows may lie any distance apart.
struct Bf16Table {
  const std::uint16_t* data = nullptr;
  std::size_t stride = 0;  // elements from a row to the next

  const std::uint16_t* row(std::size_t index) const { return data + index * stride; }
};

class Head {
 public:
  // Rows of logits computed together: more would only need more memory, as so many keep the cores
  // busy while the weights are read once.
  static constexpr std::size_t kMaxRows = 32;

  Head(const Kernels& kernels, HeadKind kind, std::size_t vocab_size, std::size_t hidden_size);

  void Pack(const Kernels& kernels, ThreadPool& pool, const Bf16Table& table);

  // logits[i * vocab_size + n] for `num_rows` <= kMaxRows normed hidden states [hidden_size].
  void Multiply(const Kernels& kernels, ThreadPool& pool, const float* hidden, std::size_t num_rows,
                float* logits);

  // Read for every token: the packed rows, or the table.
  std::size_t decode_bytes() const;
  std::size_t bytes() const { return packed_.bytes() + row_scales_.bytes(); }
  std::size_t workspace_bytes() const { return values_.bytes() + scales_.bytes() + sums_.bytes(); }

 private:
  HeadKind kind_;
  std::size_t vocab_size_;
  std::size_t hidden_size_;
  Bf16Table table_;  // kBf16 only
  AlignedBuffer<std::uint8_t> packed_;
  AlignedBuffer<float> row_scales_;
  // Hidden states, quantised: [kMaxRows][2 * RoundUp(hidden_size, kColumnAlign)] bytes.
  AlignedBuffer<std::uint8_t> values_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> sums_;
};

}  // namespace tercet
