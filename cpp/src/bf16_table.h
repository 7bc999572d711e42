// A table that the model reads without having copied it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tercet {

// A bfloat16 table [rows][cols] that somebody else keeps alive; rows may lie any distance apart.
struct Bf16Table {
  const std::uint16_t* data = nullptr;
  std::size_t stride = 0;  // elements from a row to the next

  const std::uint16_t* row(std::size_t index) const { return data + index * stride; }
};

}  // namespace tercet
