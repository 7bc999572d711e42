// What every product of 128-bit sets shares: from vectors of columns to rows of floats.
//
// A 32-bit lane is a row, its four bytes (or two halves) are consecutive columns, and the
// activations of those columns are the same for all lanes: no sum crosses lanes. A tile of 32 rows
// is eight groups of 4, one vector each.
//
// The products are written over the names that a set supplies, besides the 16 lanes of its
// lanes_*.h, which all floats go through. For all:
//
//   Vector                          16 bytes in a register
//   Vector LoadVector(const void*), StoreVector(Vector, void*)
//   LoadHalves(const uint8_t*)      16 finite float16 numbers as Floats
//
// For products of bytes (two_bit.h, panel.h, grouped.h); j is 0 to 3:
//
//   CodesOf<j>(Vector line)         bits 2 j and 2 j + 1 of every byte
//   Columns LoadColumns(const int8_t*)  16 activations of a token, or where they lie
//   FourOf<j>(Columns)              activations 4 j .. 4 j + 3 for all lanes, in a form of its own
//   Sum                             what products are added to, in whatever lanes; Sum{} is zero
//   MultiplyAdd(Sum&, Vector codes, four)  adds products of codes 0 to 2 and signed bytes
//   kMaxAdditions                   how often one Sum may be added to, from zero; at least 64
//   AddSum(Sum, int32_t*)           adds its four rows, columns joined, to numbers in memory
//   kMostSums, kMostGroups          Sums, and vectors of a line, that stay in registers; a power
//                                   of two each
//   kMaxTokens                      tokens whose Sums stay there, at most kMostSums and 8
//
// For a head of pairs of 16 bits (head.h), which a set may replace by one of its own:
//
//   NibblesOf<j>(Vector plane)      bits 4 j .. 4 j + 3 of every half of 16 bits, as halves
//   WeightsOf<j>(Vector high, Vector low)  16 * NibblesOf<j>(high) + NibblesOf<j>(low)
//   Pairs LoadPairs(const uint8_t*) eight activations of 16 bits, or where they lie
//   PairOf<j>(Pairs)                activations 2 j and 2 j + 1 for all lanes
//   PairSum, AddPairSum(PairSum, int32_t*)  as Sum, modulo 2^32, without a limit
//   MultiplyAddPairs(PairSum&, Vector halves, pair)  adds products of signed 16 bits
#pragma once

#include "kernels/generic/math.h"

namespace tercet {
namespace {

constexpr size_t kGroupRows = 4;
constexpr size_t kTileGroups = kTileRows / kGroupRows;
constexpr size_t kVectorBytes = 4 * kGroupRows;
constexpr size_t kLineBytes = kTileGroups * kVectorBytes;

// Tokens that pass through what was unpacked of a tile before the next lines are.
constexpr size_t kTokensAtOnce = 32;

// The sums of some tokens × the rows of a tile. Registers hold a few of them for a few lines.
using RowSums = int32_t[kTileRows];

// Groups of rows whose sums for so many tokens stay in registers.
constexpr size_t GroupsFor(size_t num_tokens) {
  size_t groups = kMostGroups;
  while (groups > 1 && groups * num_tokens > kMostSums) {
    groups /= 2;
  }
  return groups;
}

// How far ahead of the line in work memory is asked for: without it multiplying and waiting
// alternate, as the window of one core is too short to overlap them.
constexpr size_t kPrefetchBytes = 4096;

template <size_t kBytes>
inline void Prefetch(const uint8_t* line) {
#pragma GCC unroll 2
  for (size_t i = 0; i < kBytes; i += 64) {
    __builtin_prefetch(line + kPrefetchBytes + i);
  }
}

// Every row begins at what is to be taken off.
inline void BeginSums(int32_t value, RowSums& sums) {
  for (int32_t& sum : sums) {
    sum = value;
  }
}

inline Words LoadWords(const int32_t* from) {
  return BitsOf(Load(reinterpret_cast<const float*>(from)));
}

// Of 16 rows those that exist.
inline void StoreRows(Floats result, size_t rows_left, float* out) {
  if (rows_left >= 16) {
    Store(result, out);
  } else {
    Store(result, out, First{rows_left});
  }
}

// out = float(sums) * (scale * row_scales), for the rows of a tile that exist.
inline void StoreTile(const RowSums& sums, float scale, const float* row_scales, size_t rows_left,
                      float* out) {
  for (size_t n = 0; n < kTileRows && n < rows_left; n += 16) {
    const Floats scales = Mul(Broadcast(scale), Load(row_scales + n));
    StoreRows(Mul(ToFloats(LoadWords(sums + n)), scales), rows_left - n, out + n);
  }
}

// Calls body(begin, end) for stretches of nearly equal size, at most `most`.
template <class Body>
inline void ForStretches(size_t size, size_t most, Body body) {
  const size_t count = (size + most - 1) / most;
  for (size_t i = 0; i < count; ++i) {
    body(size * i / count, size * (i + 1) / count);
  }
}

}  // namespace
}  // namespace tercet
