// How fast this machine reads its memory: the limit that decoding is measured against.
#pragma once

#include <cstddef>

namespace tercet {

// The best bytes per second over `num_rounds` readings of `num_bytes` by `num_threads` threads,
// each of which follows several streams at once, for one stream does not keep a core's memory busy.
// `num_bytes` should be several times the last-level cache.
double MeasureBandwidth(std::size_t num_threads, std::size_t num_bytes, std::size_t num_rounds);

}  // namespace tercet
