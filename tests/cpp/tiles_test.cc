// Tiles as they lie in converted models: read back, used in place, packed anew, and refused.
#include "formats/tiles.h"

#include <array>
#include <limits>
#include <stdexcept>
#include <string>

#include "fixtures.h"
#include "formats/blocks.h"
#include "head.h"
#include "kernels/registry.h"
#include "linear.h"
#include "packing_choice.h"

namespace tercet::test {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Halves = std::vector<std::uint16_t>;

constexpr std::array<Grid, 3> kGrids{Grid{}, Grid{.activation_group = 256},
                                     Grid{.weight_group = 64, .activation_group = 64}};
constexpr std::size_t kCols = 300;
constexpr std::size_t kTokens = 3;
constexpr std::array<std::size_t, 2> kParts{40, 36};

Bytes DrawnCodes(Random& random, std::size_t n) {
  Bytes codes(n);
  for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random.Integer(0, 2));
  return codes;
}

Halves DrawnScales(Random& random, std::size_t n) {
  Halves halves(n);
  for (std::uint16_t& half : halves) {
    half = static_cast<std::uint16_t>(random.Integer(0x3400, 0x4400));
  }
  return halves;
}

// Packs a tile in tiles' own packing, or in a kernel set's.
template <typename Plain, typename Grouped>
Aligned<std::uint8_t> Packed(const Plain& plain, const Grouped& grouped, const Bytes& codes,
                             const Halves& scales, std::size_t num_tiles, std::size_t cols,
                             std::size_t group) {
  const std::size_t rows = num_tiles * kTileRows;
  const std::size_t num_groups = group == 0 ? 1 : NumGroups(cols, group);
  Aligned<std::uint8_t> packed(
      group == 0 ? plain.bytes(rows, cols) : grouped.bytes(rows, cols, group), 0xEE);
  for (std::size_t tile = 0; tile < num_tiles; ++tile) {
    const std::uint8_t* tile_codes = &codes[tile * kTileRows * cols];
    if (group == 0) {
      plain.pack(tile_codes, rows, cols, tile, packed.get());
    } else {
      grouped.pack(tile_codes, &scales[tile * kTileRows * num_groups], cols, group, tile,
                   packed.get());
    }
  }
  return packed;
}

WeightPacking FilePacking(Grid grid) {
  return grid.group() == 0 ? WeightPacking{.plain = &kTilesPacking, .grid = grid}
                           : WeightPacking{.grouped = &kGroupedTilesPacking, .grid = grid};
}

// Numbers of a matrix whose groups have scales of their own, with a weight now and then that is on
// no grid.
std::vector<float> DrawnNumbers(Random& random, std::size_t rows, std::size_t group) {
  std::vector<float> numbers(rows * kCols);
  float scale = 1;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i % kCols % (group == 0 ? kCols : group) == 0) {
      scale = static_cast<float>(random.Integer(16, 64)) / 32;
    }
    numbers[i] = scale * static_cast<float>(random.Integer(-1, 1));
    if (i % 997 == 500) numbers[i] = 3 * scale;
  }
  return numbers;
}

TensorSource SourceOf(const std::vector<float>& numbers, std::size_t rows) {
  return {.layout = Layout::kF32,
          .data = reinterpret_cast<const std::uint8_t*>(numbers.data()),
          .num_bytes = numbers.size() * sizeof(float),
          .rows = rows,
          .cols = kCols};
}

// The same random matrix of two parts in whatever packing.
Linear Made(ThreadPool& pool, const WeightPacking& packing) {
  Random random(91);
  Linear linear(packing, kParts, kCols);
  for (std::size_t part = 0; part < kParts.size(); ++part) {
    const std::vector<float> numbers =
        DrawnNumbers(random, kParts[part], packing.grid.weight_group);
    linear.Pack(pool, part, SourceOf(numbers, kParts[part]), 0.5F);
  }
  return linear;
}

std::vector<float> Product(const Kernels& kernels, ThreadPool& pool, const Linear& linear) {
  Random random(92);
  Activations activations(kTokens, kCols, linear.packing().grid);
  for (std::size_t token = 0; token < kTokens; ++token) {
    activations.Quantize(kernels, token, random.Normals(kCols).data(), kCols);
  }
  std::vector<float> out(kTokens * linear.out_stride());
  linear.Multiply(kernels, pool, activations, kTokens, out.data());
  std::vector<float> rows;  // those of no part are nobody's
  for (std::size_t token = 0; token < kTokens; ++token) {
    for (std::size_t part = 0; part < kParts.size(); ++part) {
      const float* from = &out[token * linear.out_stride() + linear.part_offset(part)];
      rows.insert(rows.end(), from, from + kParts[part]);
    }
  }
  return rows;
}

// What a file holds of that matrix, aligned as in a file.
struct Held {
  Aligned<std::uint8_t> tiles;
  std::vector<float> row_scales;
  std::vector<Outlier> outliers;

  explicit Held(const PackedTiles& from)
      : tiles(from.tiles.size()),
        row_scales(from.row_scales.begin(), from.row_scales.end()),
        outliers(from.outliers.begin(), from.outliers.end()) {
    std::copy(from.tiles.begin(), from.tiles.end(), tiles.get());
  }
  Held(ThreadPool& pool, Grid grid) : Held(Made(pool, FilePacking(grid)).Contents()) {}

  PackedTiles get() const { return {{tiles.get(), tiles.size()}, row_scales, outliers}; }
};

template <typename Call>
std::string Refusal(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

void ExpectRefused(const std::string& refusal, const std::string& words) {
  EXPECT_EQ_AT(refusal.find(words) != std::string::npos, true, refusal + " / " + words);
}

}  // namespace

TEST(TilesAreReadBackAsTheyWerePacked) {
  Random random(90);
  for (const std::size_t cols : {1U, 15U, 16U, 64U, 65U, 130U, 257U, 300U}) {
    for (const std::size_t group : {0U, 64U, 128U, 256U}) {
      const std::size_t num_groups = group == 0 ? 1 : NumGroups(cols, group);
      const Bytes codes = DrawnCodes(random, 2 * kTileRows * cols);
      const Halves scales = DrawnScales(random, 2 * kTileRows * num_groups);
      const Aligned<std::uint8_t> packed =
          Packed(kTilesPacking, kGroupedTilesPacking, codes, scales, 2, cols, group);
      EXPECT_EQ_AT(packed.size(), TilesBytes(2 * kTileRows, cols, group), At({cols, group}));
      for (std::size_t tile = 0; tile < 2; ++tile) {
        Bytes read(kTileRows * cols);
        Halves read_scales(kTileRows * num_groups);
        UnpackTile(packed.get(), cols, group, tile, read.data(), read_scales.data());
        EXPECT_EQ_AT(std::equal(read.begin(), read.end(), &codes[tile * kTileRows * cols]), true,
                     At({cols, group, tile}));
        if (group != 0) {
          EXPECT_EQ_AT(std::equal(read_scales.begin(), read_scales.end(),
                                  &scales[tile * kTileRows * num_groups]),
                       true, At({cols, group, tile}));
        }
      }
    }
  }
}

KERNEL_TEST(PackingsThatSayTheyAreTilesPackTheSameBytes) {
  Random random(93);
  const Bytes codes = DrawnCodes(random, 2 * kTileRows * kCols);
  for (const Grid grid : kGrids) {
    const std::size_t group = grid.group();
    const Halves scales =
        DrawnScales(random, 2 * kTileRows * (group == 0 ? 1 : NumGroups(kCols, group)));
    const Aligned<std::uint8_t> wanted =
        Packed(kTilesPacking, kGroupedTilesPacking, codes, scales, 2, kCols, group);
    std::size_t num_tiles_packings = 0;
    for (const WeightPacking& packing : Packings(kernels, grid)) {
      if (!packing.is_tiles()) continue;
      ++num_tiles_packings;
      const Aligned<std::uint8_t> packed =
          Packed(packing.plain != nullptr ? *packing.plain : kTilesPacking,
                 packing.grouped != nullptr ? *packing.grouped : kGroupedTilesPacking, codes,
                 scales, 2, kCols, group);
      EXPECT_EQ(packed.size(), wanted.size());
      EXPECT_EQ(std::equal(packed.get(), packed.get() + packed.size(), wanted.get()), true);
    }
    const bool is_reference = std::string_view(kernels.name) == "reference";
    EXPECT_EQ(num_tiles_packings, is_reference ? size_t{0} : size_t{1});
  }
}

KERNEL_TEST(TilesOfAFileGiveTheProductsOfTheirMatrixInEveryPacking) {
  ThreadPool pool(2);
  for (const Grid grid : kGrids) {
    const Held held(pool, grid);
    EXPECT_EQ(held.outliers.empty(), false);
    for (const WeightPacking& packing : Packings(kernels, grid)) {
      Linear taken(packing, kParts, kCols);
      const std::size_t bytes = taken.bytes();
      taken.Take(pool, held.get(), false);
      ExpectSameBits(Product(kernels, pool, taken), Product(kernels, pool, Made(pool, packing)),
                     std::string(packing.name()) + At({grid.group()}));
      EXPECT_EQ(taken.bytes(), bytes + held.outliers.size() * sizeof(Outlier));
    }
  }
}

KERNEL_TEST(TilesAreMultipliedWhereTheyAreIfThatIsAskedFor) {
  ThreadPool pool(2);
  for (const Grid grid : kGrids) {
    const Held held(pool, grid);
    for (const WeightPacking& packing : Packings(kernels, grid)) {
      Linear copied(packing, kParts, kCols);
      copied.Take(pool, held.get(), false);
      EXPECT_EQ(copied.Contents().tiles.data() == held.tiles.get(), false);
      Linear taken(packing, kParts, kCols);
      const std::string refusal = Refusal([&] { taken.Take(pool, held.get(), true); });
      if (!packing.is_tiles()) {
        ExpectRefused(refusal, "are not of the packing '" + std::string(packing.name()) + "'");
        continue;
      }
      EXPECT_EQ(refusal, std::string());
      EXPECT_EQ(taken.Contents().tiles.data() == held.tiles.get(), true);
      EXPECT_EQ(taken.bytes(), copied.bytes());
      ExpectSameBits(Product(kernels, pool, taken), Product(kernels, pool, copied),
                     std::string(packing.name()) + At({grid.group()}));
    }
  }
}

KERNEL_TEST(WhatIsNoSuchMatrixIsRefused) {
  ThreadPool pool(2);
  for (const Grid grid : kGrids) {
    const WeightPacking packing = Packings(kernels, grid)[0];
    const auto refusal = [&](const PackedTiles& tiles) {
      Linear linear(packing, kParts, kCols);
      return Refusal([&] { linear.Take(pool, tiles, false); });
    };
    Held held(pool, grid);
    EXPECT_EQ(refusal(held.get()), std::string());
    PackedTiles wrong = held.get();
    wrong.tiles = wrong.tiles.first(wrong.tiles.size() - 1);
    ExpectRefused(refusal(wrong),
                  "bytes of tiles; this model needs " + std::to_string(held.tiles.size()));
    wrong = held.get();
    wrong.row_scales = wrong.row_scales.first(1);
    ExpectRefused(refusal(wrong), "there are 1 scales of rows");

    const auto with_outlier = [&](Outlier outlier) {
      const std::vector<Outlier> outliers{held.outliers[0], outlier};
      PackedTiles tiles = held.get();
      tiles.outliers = outliers;
      return refusal(tiles);
    };
    ExpectRefused(with_outlier({128, 0, 1}), "outlier 1 is not in the matrix");
    ExpectRefused(with_outlier({127, kCols, 1}), "outlier 1 is not in the matrix");
    ExpectRefused(with_outlier({127, 0, std::numeric_limits<float>::infinity()}),
                  "outlier 1 is not in the matrix");
    ExpectRefused(with_outlier(held.outliers[0]), "outlier 1 is out of order");
    EXPECT_EQ(with_outlier({127, kCols - 1, 1}), std::string());
    const std::vector<Outlier> many(128 * kCols / 256 + 1);
    wrong = held.get();
    wrong.outliers = many;
    ExpectRefused(refusal(wrong), "at most one in 256");

    held.row_scales[3] = std::numeric_limits<float>::quiet_NaN();
    ExpectRefused(refusal(held.get()), "scale of a row is not finite");
  }
}

KERNEL_TEST(TilesThatAreNotAlignedAreRefusedWhereTheyWouldBeMultiplied) {
  ThreadPool pool(1);
  const Held held(pool, {});
  const Aligned<std::uint8_t> shifted(held.tiles.size() + 1);
  std::copy_n(held.tiles.get(), held.tiles.size(), shifted.get() + 1);
  PackedTiles tiles = held.get();
  tiles.tiles = {shifted.get() + 1, held.tiles.size()};
  for (const WeightPacking& packing : Packings(kernels, {})) {
    Linear linear(packing, kParts, kCols);
    if (packing.is_tiles()) {
      ExpectRefused(Refusal([&] { linear.Take(pool, tiles, true); }), "multiple of 64");
    }
    EXPECT_EQ(Refusal([&] { linear.Take(pool, tiles, false); }), std::string());
  }
}

TEST(ACodeThatMeansNoWeightIsRefusedWithItsPlaceWhereTilesArePackedAnew) {
  ThreadPool pool(2);
  for (const Grid grid : kGrids) {
    const Held held(pool, grid);
    const std::size_t header = grid.group() == 0 ? 0 : 64;
    held.tiles[header + 2 * 4 + 1] |= 0x0c;  // row 2, columns 1 + 4
    Linear linear(Packings(SelectKernels("reference"), grid)[0], kParts, kCols);
    ExpectRefused(Refusal([&] { linear.Take(pool, held.get(), false); }),
                  "row 2, column 5 holds code 3");
  }
  const Held held(pool, kGrids[2]);
  held.tiles[2 * 7 + 1] = 0x7c;
  Linear linear(Packings(SelectKernels("reference"), kGrids[2])[0], kParts, kCols);
  ExpectRefused(Refusal([&] { linear.Take(pool, held.get(), false); }),
                "row 7, column 0 has a scale that is not finite");
}

KERNEL_TEST(AnInt8HeadIsTheSameOutOfAFile) {
  constexpr std::size_t kVocab = 131;
  constexpr std::size_t kHidden = 96;
  ThreadPool pool(2);
  Random random(94);
  const std::vector<std::uint16_t> numbers = random.Bf16(kVocab * kHidden);
  const TensorSource table{.layout = Layout::kBf16,
                           .data = reinterpret_cast<const std::uint8_t*>(numbers.data()),
                           .num_bytes = numbers.size() * 2,
                           .rows = kVocab,
                           .cols = kHidden};
  const auto made = [&] { return Head(HeadKind::kInt8, kVocab, kHidden, WeightPacking{}); };
  Head packed = made();
  packed.Pack(kernels, pool, table);
  const PackedPlane plane = packed.Contents();
  Head taken = made();
  taken.Take(pool, table, plane, true);
  EXPECT_EQ(taken.Contents().high.data(), plane.high.data());
  EXPECT_EQ(taken.bytes(), packed.bytes());

  const std::vector<float> hidden = random.Normals(2 * kHidden);
  const std::array<std::size_t, 2> rows{0, 1};
  const auto logits = [&](Head& head) {
    std::vector<float> out(2 * kVocab);
    head.Multiply(kernels, pool, hidden.data(), rows, out.data());
    return out;
  };
  Head copied = made();
  copied.Take(pool, table, plane, false);
  EXPECT_EQ(copied.Contents().high.data() == plane.high.data(), false);
  ExpectSameBits(logits(taken), logits(packed), "logits");
  ExpectSameBits(logits(copied), logits(packed), "logits of a copy");
  const auto screened = [&](Head& head) {
    std::vector<std::int32_t> sums(2 * kVocab);
    head.Screen(kernels, pool, hidden.data(), rows, sums.data());
    const tercet::Screen screen = head.ScreenOf(1, sums.data());
    std::vector<float> found{screen.lift, screen.scale, screen.reach};
    for (const std::int32_t sum : sums) found.push_back(static_cast<float>(sum));
    found.insert(found.end(), screen.scales, screen.scales + kVocab);
    found.insert(found.end(), screen.margins, screen.margins + kVocab);
    for (std::size_t token = 0; token < kVocab; ++token) {
      found.push_back(head.Finish(kernels, 1, token));
    }
    return found;
  };
  ExpectSameBits(screened(taken), screened(packed), "screen");
  ExpectSameBits(screened(copied), screened(packed), "screen of a copy");

  PackedPlane wrong = plane;
  wrong.high = plane.high.first(64);
  Head other = made();
  ExpectRefused(Refusal([&] { other.Take(pool, table, wrong, true); }), "its plane has 64 bytes");
  wrong = plane;
  wrong.margins = plane.margins.first(1);
  ExpectRefused(Refusal([&] { other.Take(pool, table, wrong, true); }),
                "not as many as it has rows");
  Head bf16(HeadKind::kBf16, kVocab, kHidden, WeightPacking{});
  ExpectRefused(Refusal([&] { bf16.Take(pool, table, plane, true); }),
                "a plane is of an int8 head");
  ExpectRefused(Refusal([&] { bf16.Take(pool, table, PackedTiles{}, true); }),
                "tiles are of a ternary head");
}

}  // namespace tercet::test
