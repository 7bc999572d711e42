// Exp, Log and Philox for 16 lanes: `reference_math.h`, operation by operation.
//
// The headers of this folder are written over the vocabulary of a `lanes_*.h`, which the kernel
// file includes before them; everything stays in that file's anonymous namespace.
#pragma once

namespace tercet {
namespace {

// Calls body(i, part) for every 16 elements from i: part is All{}, and First{n % 16} at the end.
template <class Body>
inline void ForLanes(size_t n, Body body) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    body(i, All{});
  }
  if (i < n) {
    body(i, First{n - i});
  }
}

// `next` in the lanes that exist; lanes past the end keep what they had.
template <class Lanes>
inline Lanes Merge(Lanes next, Lanes, All) {
  return next;
}
template <class Lanes>
inline Lanes Merge(Lanes next, Lanes before, First part) {
  return Select(MaskOf(part), next, before);
}

inline Floats Clip(Floats x, Floats low, Floats high) { return Max(Min(x, high), low); }

// NOLINTBEGIN(modernize-use-std-numbers): see reference_math.h

inline Floats Exp(Floats x) {
  const Floats y = Min(Broadcast(88.0f), x);
  const Floats magic = Broadcast(12582912.0f);
  const Floats shifted = Fma(y, Broadcast(1.44269504f), magic);
  const Floats n = Sub(shifted, magic);
  Floats r = Fma(n, Broadcast(-0.693359375f), y);
  r = Fma(n, Broadcast(2.12194440e-4f), r);
  Floats p = Broadcast(1.9875691500e-4f);
  p = Fma(p, r, Broadcast(1.3981999507e-3f));
  p = Fma(p, r, Broadcast(8.3334519073e-3f));
  p = Fma(p, r, Broadcast(4.1665795894e-2f));
  p = Fma(p, r, Broadcast(1.6666665459e-1f));
  p = Fma(p, r, Broadcast(5.0000001201e-1f));
  p = Add(Fma(p, Mul(r, r), r), Broadcast(1.0f));
  const Words power = Add(ShiftLeft<23>(BitsOf(shifted)), BroadcastWord(0x3f800000u));
  return Select(Less(y, Broadcast(-87.0f)), Broadcast(0.0f), Mul(p, FloatsOf(power)));
}

inline Floats Log(Floats x) {
  const Words shifted = Sub(BitsOf(x), BroadcastWord(0x3f3504f3u));
  const Floats e = ToFloats(ShiftRightSigned<23>(shifted));
  const Words mantissa = And(shifted, BroadcastWord(0x007fffffu));
  const Floats m = FloatsOf(Add(mantissa, BroadcastWord(0x3f3504f3u)));
  const Floats f = Sub(m, Broadcast(1.0f));
  const Floats square = Mul(f, f);
  Floats p = Broadcast(7.0376836292e-2f);
  p = Fma(p, f, Broadcast(-1.1514610310e-1f));
  p = Fma(p, f, Broadcast(1.1676998740e-1f));
  p = Fma(p, f, Broadcast(-1.2420140846e-1f));
  p = Fma(p, f, Broadcast(1.4249322787e-1f));
  p = Fma(p, f, Broadcast(-1.6668057665e-1f));
  p = Fma(p, f, Broadcast(2.0000714765e-1f));
  p = Fma(p, f, Broadcast(-2.4999993993e-1f));
  p = Fma(p, f, Broadcast(3.3333331174e-1f));
  Floats y = Mul(Mul(p, f), square);
  y = Fma(e, Broadcast(-2.12194440e-4f), y);
  y = Fma(square, Broadcast(-0.5f), y);
  return Fma(e, Broadcast(0.693359375f), Add(f, y));
}

// NOLINTEND(modernize-use-std-numbers)

// Sixteen counters at once: word w of lane p's output is words[w], lane p.
inline void Philox(Words (&c)[4], uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const WidePair a = MulWide(c[0], 0xD2511F53u);
    const WidePair b = MulWide(c[2], 0xCD9E8D57u);
    c[0] = Xor(Xor(b.high, c[1]), BroadcastWord(key0));
    c[1] = b.low;
    c[2] = Xor(Xor(a.high, c[3]), BroadcastWord(key1));
    c[3] = a.low;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// The Gumbel numbers of indices [begin, begin + 64), begin a multiple of 4.
inline void Gumbels(const DrawKey& key, size_t begin, Floats (&out)[4]) {
  Words random[4] = {Add(BroadcastWord(static_cast<uint32_t>(begin / 4)), LaneNumbersTransposed()),
                     BroadcastWord(key.position), BroadcastWord(key.choice), BroadcastWord(0)};
  Philox(random, static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32));
  Transpose4(random);
  for (size_t w = 0; w < 4; ++w) {
    const Floats integers = ToFloats(ShiftRight<9>(random[w]));
    const Floats u = Mul(Add(integers, Broadcast(0.5f)), Broadcast(0x1p-23f));
    out[w] = Negate(Log(Negate(Log(u))));
  }
}

}  // namespace
}  // namespace tercet
