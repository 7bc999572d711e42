// Any bytes as any matrix, for libFuzzer: what TensorSource::Check lets pass is read without a byte
// beyond its end, as numbers, as ternary rows and as packed tiles, or refused in words.
//
//   make fuzz TARGET=formats EXECUTIONS=1000000
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "formats/grid.h"
#include "formats/numbers.h"
#include "formats/ternary_row.h"
#include "formats/tiles.h"
#include "kernels/kernels.h"
#include "linear.h"

namespace {

using namespace tercet;

constexpr std::size_t kMostValues = std::size_t{1} << 16;

// The head of an input; the rest are the matrix's bytes.
struct Head {
  std::uint8_t layout;
  std::uint8_t group;
  std::uint8_t rope_head_dim;
  std::uint8_t wide;  // where it is odd, sizes are as large as they say
  std::uint64_t rows;
  std::uint64_t cols;
  std::uint64_t row_stride;
};

constexpr std::array<std::size_t, 4> kGroups{0, 64, 128, 256};

ThreadPool& Pool() {
  static ThreadPool pool(1);
  return pool;
}

TensorSource Describe(const Head& head, const std::uint8_t* bytes, std::size_t num_bytes) {
  const bool is_wide = head.wide % 2 == 1;
  return {.layout = static_cast<Layout>(head.layout % 13),
          .data = bytes,
          .num_bytes = num_bytes,
          .rows = is_wide ? head.rows : head.rows % 65,
          .cols = is_wide ? head.cols : head.cols % 1025,
          .scale = 0.5F,
          .rope_head_dim = head.rope_head_dim,
          .row_stride = is_wide ? head.row_stride : head.row_stride % 513};
}

void ReadRows(const TensorSource& source, std::size_t group) {
  std::vector<float> numbers(source.cols);
  std::vector<std::uint8_t> codes(source.cols);
  std::vector<float> scales(group == 0 ? 1 : NumGroups(source.cols, group));
  std::vector<Outlier> outliers;
  for (const std::size_t row : {std::size_t{0}, source.rows / 2, source.rows - 1}) {
    ReadNumbers(source, row, numbers.data());
    try {
      ReadTernaryRow(source, row, group, {codes, scales}, outliers);
    } catch (const std::invalid_argument&) {
    }
  }
}

void PackTiles(const TensorSource& source, std::size_t group) {
  const Grid grid{.weight_group = group, .activation_group = group};
  const WeightPacking packing = group == 0
                                    ? WeightPacking{.plain = &kTilesPacking, .grid = grid}
                                    : WeightPacking{.grouped = &kGroupedTilesPacking, .grid = grid};
  Linear linear(packing, std::array{source.rows}, source.cols);
  linear.Pack(Pool(), 0, source, 1.0F);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Head head{};
  if (size < sizeof head) {
    return 0;
  }
  std::memcpy(&head, data, sizeof head);
  // A copy of its own, so that the sanitizer knows where it ends.
  const std::vector<std::uint8_t> bytes(data + sizeof head, data + size);
  const TensorSource source = Describe(head, bytes.data(), bytes.size());
  const std::size_t group = kGroups[head.group % kGroups.size()];
  try {
    source.Check();
    if (source.rows > kMostValues / source.cols) {
      return 0;
    }
    ReadRows(source, group);
    CountOffGrid(source, Pool());
    PackTiles(source, group);
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
