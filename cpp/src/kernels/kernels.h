// The contract of a kernel set: what each function must compute is stated here and nowhere else.
//
// `reference.cc` is the meaning: every other set must give the same bits for the same input. That
// is possible because ternary × int8 sums are integers, exact in any order, and because every float
// reduction has one fixed shape:
//
//   16 virtual lanes; element i belongs to lane i % 16; each lane runs over its elements in
//   ascending order with fused multiply-add (or +, max), from 0; then the lanes join as a tree:
//   l[i] = l[i] + l[i + 8] (i < 8), then + l[i + 4] (i < 4), then + l[i + 2], then l[0] + l[1].
//   A lane without elements holds 0. Of attention's scores the largest begins at -infinity.
//
// max(a, b) is a > b ? a : b and min(a, b) is a < b ? a : b, and clip(x, low, high) is
// max(min(x, high), low), so that NaN has one meaning too; which NaN comes out is left open.
// Everything else is one IEEE operation per element, in the order written here, never contracted.
// A kernel set is one file. It includes C-level headers only and defines one symbol, its table, so
// that no instruction of one CPU leaks into another's program (cpp/tools/check_symbols.py).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace tercet {

// Tokens per block of the KV cache, and lanes of a reduction: a block's keys fill the lanes.
inline constexpr size_t kBlockSize = 16;

// Rows of a packed matrix come in tiles of 32; a matrix is padded with rows of zero weights.
inline constexpr size_t kTileRows = 32;

// Activations are padded with zeros to a multiple of this many columns.
inline constexpr size_t kColumnAlign = 64;

// Packed matrices and activations begin at multiples of this many bytes.
inline constexpr size_t kByteAlign = 64;

constexpr size_t RoundUp(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Instruction sets a kernel set may require, as bits. It is offered only if CPU *and* OS have all.
enum CpuFeature : uint32_t {
  kAvx2 = 1u << 0,  // AVX2 and all that came before it, with OS support for 256-bit state
  kFma = 1u << 1,
  kF16c = 1u << 2,
  kBmi2 = 1u << 3,
  kAvx512 = 1u << 4,  // F, BW, DQ, VL, with OS support for 512-bit state
  kAvx512Vnni = 1u << 5,
  kAvx512Vbmi = 1u << 6,  // VBMI and VBMI2
  kAvxVnni = 1u << 7,
  kAmxInt8 = 1u << 8,  // and tiles, with OS support and this process's permission to use them
  kSsse3 = 1u << 9,    // and SSE3
  kSse41 = 1u << 10,
  kArmDotProd = 1u << 24,  // FEAT_DotProd; NEON itself is part of every AArch64 CPU
  kArmI8mm = 1u << 25,     // FEAT_I8MM
};

// A ternary matrix [rows, cols] as a kernel set packed it:
// weight(n, k) = (code(n, k) - 1) * row_scales[n].
struct TernaryMatrix {
  const uint8_t* packed;
  const float* row_scales;  // [RoundUp(rows, kTileRows)]
  size_t rows;
  size_t cols;
};

// Activations of `num_rows` tokens, quantised to int8 per token:
// x(m, k) ≈ values[m * stride + k] * scales[m].
struct Int8Rows {
  const int8_t* values;  // [num_rows][stride], zero from cols to stride
  const float* scales;   // [num_rows]
  const int32_t* sums;   // [num_rows], sum of the row's values
  size_t num_rows;
  size_t stride;  // RoundUp(cols, kColumnAlign)
};

// A ternary matrix whose rows have a scale for every `group` columns, as a kernel set packed it:
// weight(n, k) = (code(n, k) - 1) * float(scale(n, k / group)) * row_scales[n], the scales being
// float16 that lie beside the codes.
struct GroupedMatrix {
  const uint8_t* packed;
  const float* row_scales;  // [RoundUp(rows, kTileRows)]
  size_t rows;
  size_t cols;
  size_t group;  // a multiple of kColumnAlign, at most kMaxGroup
};

inline constexpr size_t kMaxGroup = 256;

constexpr size_t NumGroups(size_t cols, size_t group) { return (cols + group - 1) / group; }

// Activations of `num_rows` tokens, quantised to int8 per token and group of columns:
// x(m, k) ≈ values[m * stride + k] * scales[m * num_groups + k / group].
struct GroupedRows {
  const int8_t* values;  // [num_rows][stride], zero from cols to stride
  const float* scales;   // [num_rows][num_groups]
  const int32_t* sums;   // [num_rows][num_groups], sum of the group's values
  size_t num_rows;
  size_t stride;  // RoundUp(cols, group)
  size_t num_groups;
};

// Activations for the head, quantised per token to integers of magnitude <= HeadLimit(cols),
// in whatever form the kernel set likes within 2 bytes a value.
struct WideRows {
  const uint8_t* values;  // [num_rows][stride]
  const float* scales;    // [num_rows]
  const int32_t* sums;    // [num_rows]
  size_t num_rows;
  size_t stride;  // in bytes: 2 * RoundUp(cols, kHeadAlign)
};

// The largest magnitude of a WideRows value: the sum of cols products with |weight| <= 127 then
// fits int32, so it is exact on every instruction set. About 13 bits for 2,560 columns.
constexpr int32_t HeadLimit(size_t cols) {
  const size_t limit = 2147483647u / (127u * (cols == 0 ? 1 : cols));
  return limit > 8191 ? 8191 : static_cast<int32_t>(limit);
}

// What makes a draw repeatable: the random number of a token depends on these and its id alone.
struct DrawKey {
  uint64_t seed;
  uint32_t choice;
  uint32_t position;
};

// ---- The head in two planes of nibbles ----
//
// A weight of the head is an int8 w, kept as w + 128 = 16 * high + low, each half in a plane of its
// own. The high plane alone tells which rows may win.
//
// A plane is tiles of kTileRows rows, a tile is lines of 8 columns, and a line is 4 bytes a row:
// byte j of line g holds column 8 g + j in its lower half and column 8 g + 4 + j in its upper one.

inline constexpr size_t kHeadAlign = 64;
inline constexpr size_t kHeadLineBytes = 4 * kTileRows;

constexpr size_t HeadTileBytes(size_t cols) {
  return RoundUp(cols, kHeadAlign) / 8 * kHeadLineBytes;
}

constexpr size_t HeadPlaneBytes(size_t rows, size_t cols) {
  return RoundUp(rows, kTileRows) / kTileRows * HeadTileBytes(cols);
}

// Where row n begins in a plane; its next four bytes are always kHeadLineBytes further.
constexpr size_t HeadRowPlace(size_t n, size_t cols) {
  return n / kTileRows * HeadTileBytes(cols) + n % kTileRows * 4;
}

// What packing finds out about a row; v(k) = 32 * high(k) - 241 is twice the middle of the weights
// that share high(k).
struct HeadRow {
  float scale;       // weight(k) ≈ w(k) * scale
  int64_t squares;   // sum of w(k) * w(k)
  int64_t products;  // sum of w(k) * v(k)
  int64_t middles;   // sum of v(k) * v(k)
};

struct HeadMatrix {
  const uint8_t* high;      // planes, HeadPlaneBytes(rows, cols) each
  const uint8_t* low;       // not read by head_dots, nor are the scales
  const float* row_scales;  // [RoundUp(rows, kTileRows)]
  size_t rows;
  size_t cols;
};

// Which of the tokens [begin, end) may win a draw, told from the high plane.
struct Screen {
  const int32_t* sums;   // of head_dots over the high plane
  const float* scales;   // per token
  const float* margins;  // per token
  int32_t offset;        // added to 16 * sum, modulo 2^32
  float lift;            // added to that as a float
  float scale;           // times scales[n]
  float reach;           // times margins[n]
  float inverse_temperature;
  const DrawKey* key;  // null: no noise
  size_t begin;        // multiple of 64
  size_t end;
};

// How keys and values are kept. A block of one KV head, in elements of its type:
//   bf16, f32: keys [head_dim][kBlockSize], a column per token, and values [kBlockSize][head_dim];
//   int8:      keys [head_dim / 4][kBlockSize][4], and float scales [kBlockSize], one per token;
//              values [kBlockSize / 4][head_dim][4], the 4 of a lane being 4 tokens, and scales.
enum KvType : uint32_t { kKvBf16, kKvFloat32, kKvInt8 };

// The int8 elements of a block's keys, or of its values, with their scales.
constexpr size_t Int8KvBytes(size_t head_dim) { return kBlockSize * (head_dim + sizeof(float)); }

// Query positions that share a pass over the keys and values, at most.
inline constexpr size_t kMaxQueries = 8;

// Consecutive positions of one sequence, one KV head: the queries of all heads that share it,
// against all keys so far. Row r = t * group + h is head h of position t.
// Key block b is at cache + block_table[b] * block_stride + key_offset, counted in elements.
struct AttentionTask {
  const float* queries;         // [num_queries] rows of [group][head_dim], not yet scaled
  const int16_t* wide_queries;  // the same after quantize_query, for int8 keys
  const float* query_scales;    // [num_queries] rows of [group], for int8 keys
  size_t num_queries;           // positions, 1 to kMaxQueries
  size_t query_stride;          // from a position to the next, in queries
  size_t wide_stride;           // in wide_queries
  size_t query_scale_stride;    // in query_scales
  size_t group;                 // query heads that share this KV head, >= 1
  size_t head_dim;              // multiple of 16
  const void* cache;            // elements of kv_type
  const int32_t* block_table;   // [ceil((num_keys + num_queries - 1) / kBlockSize)]
  size_t block_stride;          // in elements
  size_t key_offset;
  size_t value_offset;
  size_t num_keys;  // of position 0, >= 1; position t has t more. What later slots of the last
                    // block hold is never read as a number
  float scale;      // 1 / sqrt(head_dim)
  float* scores;    // row r at r * scores_stride: scratch, between functions in a set's own form
  size_t scores_stride;  // multiple of kBlockSize, room for the keys of the last position
  float* sums;           // [num_queries * group]
  float* out;            // [num_queries] rows of [group][head_dim]
  size_t out_stride;     // from a position to the next
  KvType kv_type;
};

// One way of keeping ternary weights, with the product over it. Packings differ in bytes and in
// time, never in results.
struct TernaryPacking {  // NOLINT(cppcoreguidelines-pro-type-member-init): a table
  const char* name;

  // Bytes of a packed [rows, cols] matrix; a multiple of kByteAlign, proportional to its tiles.
  size_t (*bytes)(size_t rows, size_t cols);

  // Packs tile number `tile` of a matrix: codes[kTileRows][cols], a byte each, 0, 1 or 2 (rows past
  // the matrix's end are given as 1). `packed` is the whole matrix's memory.
  void (*pack)(const uint8_t* codes, size_t rows, size_t cols, size_t tile, uint8_t* packed);

  // out[m * out_stride + n] =
  //   float(sum over k of values[m][k] * (code(n, k) - 1)) * (scales[m] * row_scales[n])
  // for every token m and every row n < rows of tiles [tile_begin, tile_end).
  void (*gemm)(const TernaryMatrix*, const Int8Rows*, size_t tile_begin, size_t tile_end,
               float* out, size_t out_stride);

  // Whether packed bytes are those of generic/pack.h, in which converted models lie in files.
  bool is_tiles = false;
};

// The same for matrices with a scale for every group of columns.
struct GroupedPacking {  // NOLINT(cppcoreguidelines-pro-type-member-init): a table
  const char* name;

  // Bytes of a packed [rows, cols] matrix; a multiple of kByteAlign, proportional to its tiles.
  size_t (*bytes)(size_t rows, size_t cols, size_t group);

  // Packs one tile: codes[kTileRows][cols] as above, and scales[kTileRows][num_groups], the bits of
  // finite float16 numbers.
  void (*pack)(const uint8_t* codes, const uint16_t* scales, size_t cols, size_t group, size_t tile,
               uint8_t* packed);

  // out[m * out_stride + n] = acc * row_scales[n], where over the groups g, ascending, from 0
  //   acc = fma(float(sum over k in g of values[m][k] * (code(n, k) - 1)),
  //             float(scale(n, g)) * scales[m][g], acc)
  // for every token m and every row n < rows of tiles [tile_begin, tile_end).
  void (*gemm)(const GroupedMatrix*, const GroupedRows*, size_t tile_begin, size_t tile_end,
               float* out, size_t out_stride);

  bool is_tiles = false;  // as above
};

// Attention in three functions, to be called in this order. Each may be cut into pieces, and
// the pieces computed in any order, by any thread. For row r, which sees n = num_keys + t keys:
//
//   scores   s(j) = dot * scale, where dot = fma(q[d], float(k_j[d]), dot) over d ascending, from 0
//   weights  m = max over j < n of s(j);  p(j) = Exp(s(j) - m);  l = sum of p in the fixed shape
//   values   out[d] = acc / l, where acc = fma(p(j), float(v_j[d]), acc) over j ascending, from 0
//
// With int8 keys and values all products are sums of integers:
//
//   scores   s(j) = float(sum over d of q[d] * k_j[d]) * ((query scale * scale) * key scale of j)
//   values   per block: w(j) = p(j) * value scale of j;  a = max(max over j < n of w(j), 1e-30f);
//            i(j) = clip(round_half_even(w(j) * (32767 / a)), 0, 32767);
//            acc = fma(float(sum over j < n of i(j) * v_j[d]), a / 32767, acc), blocks ascending
struct AttentionKernels {
  // L = float(HeadLimit(head_dim)), a = max(max |x|, 1e-5f), q = clip(round_half_even(x * (L / a)),
  // -L, L); scale = a / L. `values` [head_dim] in a set's own form.
  void (*quantize_query)(const float* x, size_t head_dim, int16_t* values, float* scale);

  // Writes one token's key and value into its int8 block, each as a = max(max |x|, 1e-5f),
  // q = clip(round_half_even(x * (127 / a)), -127, 127), scale = a / 127.
  void (*store_int8)(const float* key, const float* value, size_t head_dim, size_t offset,
                     int8_t* key_block, int8_t* value_block);

  // Of all rows, against the keys of blocks [block_begin, block_end).
  void (*scores)(const AttentionTask*, size_t block_begin, size_t block_end);

  // Of rows [row_begin, row_end), all their keys.
  void (*weights)(const AttentionTask*, size_t row_begin, size_t row_end);

  // Of all rows, dimensions [begin, end), multiples of 16.
  void (*values)(const AttentionTask*, size_t begin, size_t end);
};

struct Kernels {
  const char* name;   // also what TERCET_KERNELS selects
  uint32_t required;  // CpuFeature bits

  // Every packing the set knows, at least one; the first is the safe choice.
  const TernaryPacking* packings;
  size_t num_packings;
  const GroupedPacking* grouped_packings;
  size_t num_grouped_packings;

  // ---- The head: int8 weights × 13-bit activations ----

  // Quantises a bfloat16 row of a head and writes its halves to where it begins in each plane;
  // where `high` or `low` is null it does without. a = max |w|; scale = a / 127 (1 if a is 0); w =
  // clip(round_half_even(x * (127 / a)), -127, 127), 0 if a is 0, and 0 from cols to RoundUp(cols,
  // kHeadAlign); these are not summed.
  void (*head_pack)(const uint16_t* row, size_t cols, uint8_t* high, uint8_t* low, HeadRow* facts);

  // One row of WideRows: a = max(max |x|, 1e-5f), L = float(HeadLimit(cols)), s = L / a,
  // q = clip(round_half_even(x * s), -L, L); scale = a / L; sum = sum of q.
  void (*head_quantize)(const float* x, size_t cols, uint8_t* values, float* scale, int32_t* sum);

  // The sum over k of q(0, k) * w(k) for the first row of WideRows and an unpacked row of the
  // table.
  int32_t (*head_dot)(const uint16_t* row, size_t cols, const WideRows*);

  // out[m * out_stride + n] = sum over k of q(m, k) * high(n, k), modulo 2^32, for every row
  // n < rows of tiles [tile_begin, tile_end).
  void (*head_dots)(const HeadMatrix*, const WideRows*, size_t tile_begin, size_t tile_end,
                    int32_t* out, size_t out_stride);

  // out[m * out_stride + n] = float(sum over k of q(m, k) * w(n, k)) * (scales[m] * row_scales[n])
  // for the same rows, from both planes.
  void (*head_gemm)(const HeadMatrix*, const WideRows*, size_t tile_begin, size_t tile_end,
                    float* out, size_t out_stride);

  // With a(n) = (float(16 * sums[n] + offset) + lift) * (scale * scales[n]), e(n) = reach *
  // margins[n], G(n) = Gumbel(key, n) or no such term:  upper(n) = (a + e) * inverse_temperature +
  // G and lower(n) = (a - e) * inverse_temperature + G. Writes every n whose upper is at least the
  // largest lower, ascending, with its upper, to tokens and uppers[end - begin], and that largest
  // lower to `bar`; returns how many they are.
  size_t (*screen)(const Screen*, uint32_t* tokens, float* uppers, float* bar);

  // out[m * out_stride + n] = sum of x(m, k) * float(table(n, k)) in the fixed shape, for rows
  // [row_begin, row_end) of an unpacked bfloat16 table.
  void (*bf16_gemm)(const uint16_t* table, size_t table_stride, size_t cols, size_t row_begin,
                    size_t row_end, const float* x, size_t num_rows, size_t x_stride, float* out,
                    size_t out_stride);

  // ---- Rows of floats ----

  // out[i] = (x[i] * r) * weight[i] with r = 1 / sqrt(sum(x * x) / float(n) + eps), the sum in the
  // fixed shape. `out` may be `x`.
  void (*rms_norm)(const float* x, const float* weight, size_t n, float eps, float* out);

  // a = max(max |x|, floor), s = 127 / a, q = clip(round_half_even(x * s), -128, 127);
  // scale = a / 127; sum = sum of q. Values from n to RoundUp(n, kColumnAlign) are set to 0.
  void (*quantize)(const float* x, size_t n, float floor, int8_t* values, float* scale,
                   int32_t* sum);

  // gate[i] = (max(gate[i], 0) * max(gate[i], 0)) * up[i]
  void (*relu2_mul)(float* gate, const float* up, size_t n);

  // gate[i] = (gate[i] / (1 + Exp(-gate[i]))) * up[i]
  void (*silu_mul)(float* gate, const float* up, size_t n);

  // x[i] = x[i] + y[i]
  void (*add)(float* x, const float* y, size_t n);

  // Rotates one head by half-split pairs, h = head_dim / 2 (multiple of 8), for j < h:
  // (x[j], x[j + h]) = (x[j] * cos[j] - x[j + h] * sin[j],  x[j + h] * cos[j] + x[j] * sin[j]),
  // each as fma(x[j], cos[j], -(x[j + h] * sin[j])) and fma(x[j + h], cos[j], x[j] * sin[j]).
  void (*rope)(float* x, const float* cos, const float* sin, size_t head_dim);

  // Writes one token's key and value (head_dim floats each) into its block, rounded half-even to
  // bfloat16: key[d * kBlockSize + offset], value[offset * head_dim + d], with NaN kept NaN.
  void (*store_kv)(const float* key, const float* value, size_t head_dim, size_t offset,
                   uint16_t* key_block, uint16_t* value_block);

  AttentionKernels attention;

  // ---- Logits ----

  // The index of the largest value, the lowest of equals; NaN never wins over a number. n >= 1.
  size_t (*argmax)(const float* x, size_t n);

  // Sum of Exp((x[i] - shift) * scale) in the fixed shape.
  float (*sum_exp)(const float* x, size_t n, float shift, float scale);

  // The index i with x[i] >= threshold that has the largest x[i] * scale + Gumbel(key, i), the
  // lowest of equals; the argmax of x if there is none with a score above -infinity.
  // Gumbel(key, i) = -Log(-Log(u)), u = (float(r >> 9) + 0.5f) * 2^-23, where r is word i % 4 of
  // Philox4x32-10 (Salmon et al., SC'11) with counter (i / 4, position, choice, 0) and key (low,
  // high half of the seed).
  size_t (*gumbel_argmax)(const float* x, size_t n, float scale, float threshold, const DrawKey*);
};

// Exp, Log and Philox are defined in reference_math.h. Exp(0) = 1, Exp of anything below -87 is 0;
// the relative error of Exp and Log is below 2e-7 where they are used.

}  // namespace tercet
