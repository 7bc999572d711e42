// How often the head was read by halves.
#pragma once

#include <cstdint>

namespace tercet {

// Since the model was built. A token is drawn from a screen or from a full row of logits.
struct HeadStats {
  std::uint64_t screened = 0;   // tokens drawn from a screen
  std::uint64_t finished = 0;   // logits computed for them
  std::uint64_t full = 0;       // rows of logits computed for tokens drawn or scored
  std::uint64_t undecided = 0;  // of these, rows whose screen left too many tokens
};

}  // namespace tercet
