// Layouts of matrices in files, each packed here by the words of its description and read back.
#include <cmath>
#include <stdexcept>

#include "fixtures.h"
#include "formats/blocks.h"
#include "formats/grid.h"
#include "formats/numbers.h"
#include "formats/ternary_row.h"
#include "formats/trits.h"

namespace tercet::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

TensorSource Source(Layout layout, const Bytes& bytes, std::size_t rows, std::size_t cols) {
  TensorSource source{.layout = layout,
                      .data = bytes.data(),
                      .num_bytes = bytes.size(),
                      .rows = rows,
                      .cols = cols};
  source.Check();
  return source;
}

void Append(Bytes& bytes, std::uint16_t half) {
  bytes.push_back(static_cast<std::uint8_t>(half & 255));
  bytes.push_back(static_cast<std::uint8_t>(half >> 8));
}

Bytes DrawnCodes(Random& random, std::size_t n) {
  Bytes codes(n);
  for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random.Integer(0, 2));
  return codes;
}

// Five digits of a byte, the most significant first: ceil(256 * v / 243).
std::uint8_t Trits(const std::vector<std::uint8_t>& digits) {
  unsigned value = 0;
  for (std::size_t i = 0; i < 5; ++i) value = value * 3 + (i < digits.size() ? digits[i] : 0);
  return static_cast<std::uint8_t>((value * 256 + 242) / 243);
}

// `count` bytes from `codes`, digit d of byte i being codes[d * count + i].
void AppendTrits(Bytes& bytes, const std::uint8_t* codes, std::size_t count, std::size_t digits) {
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<std::uint8_t> of_byte;
    for (std::size_t d = 0; d < digits; ++d) of_byte.push_back(codes[d * count + i]);
    bytes.push_back(Trits(of_byte));
  }
}

void ExpectCodes(const TensorSource& source, const Bytes& wanted,
                 const std::vector<float>& scales) {
  Bytes codes(source.cols);
  std::vector<float> read(scales.size() / source.rows);
  for (std::size_t row = 0; row < source.rows; ++row) {
    ReadCodes(source, row, codes.data(), read.data());
    for (std::size_t k = 0; k < source.cols; ++k) {
      EXPECT_EQ_AT(codes[k], wanted[row * source.cols + k], At({row, k}));
    }
    for (std::size_t i = 0; i < read.size(); ++i) {
      EXPECT_EQ(read[i], scales[row * read.size() + i]);
    }
  }
}

constexpr std::uint16_t kHalf = 0x3800;  // 0.5

}  // namespace

TEST(Float16WidensAndNarrowsExactly) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const int exponent = half >> 10;
    const double mantissa = (half & 1023) + (exponent == 0 ? 0 : 1024);
    const double wanted = std::ldexp(mantissa, (exponent == 0 ? 1 : exponent) - 25);
    EXPECT_EQ(static_cast<double>(WidenF16(half)), wanted);
    EXPECT_EQ(NarrowToF16(WidenF16(half)), half);
    EXPECT_EQ(NarrowToF16(-WidenF16(half)), static_cast<std::uint16_t>(half | 0x8000));
  }
  EXPECT(std::isinf(WidenF16(0x7c00)));
  EXPECT(std::isnan(WidenF16(0x7e00)));
  EXPECT_EQ(NarrowToF16(1.0F + 0x1p-11F), std::uint16_t{0x3c00});  // a tie goes to the even one
}

TEST(HfPackedRowsAreQuartersApart) {
  Random random(71);
  const std::size_t rows = 12;
  const std::size_t cols = 7;
  const Bytes codes = DrawnCodes(random, rows * cols);
  Bytes packed(rows / 4 * cols);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t k = 0; k < cols; ++k) {
      packed[row % 3 * cols + k] |=
          static_cast<std::uint8_t>(codes[row * cols + k] << (2 * (row / 3)));
    }
  }
  ExpectCodes(Source(Layout::kHfPacked, packed, rows, cols), codes, {});
}

TEST(I2SBlocksRunOverTheFlattenedMatrix) {
  Random random(72);
  for (const std::size_t cols : {128U, 96U, 20U, 300U}) {
    const std::size_t rows = 32;
    const Bytes codes = DrawnCodes(random, rows * cols);
    Bytes packed(rows * cols / 4);
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const std::size_t j = i % 128;
      packed[i / 128 * 32 + j % 32] |= static_cast<std::uint8_t>(codes[i] << (6 - 2 * (j / 32)));
    }
    ExpectCodes(Source(Layout::kI2S, packed, rows, cols), codes, {});
  }
}

TEST(Tq2AndTq1AndPtq1BlocksAreReadBack) {
  Random random(73);
  const std::size_t rows = 3;
  const std::size_t cols = 512;
  const Bytes codes = DrawnCodes(random, rows * cols);
  Bytes tq2;
  Bytes tq1;
  Bytes ptq1;
  for (std::size_t begin = 0; begin < codes.size(); begin += 256) {
    const std::uint8_t* block = &codes[begin];
    for (std::size_t byte = 0; byte < 64; ++byte) {
      unsigned packed = 0;
      for (std::size_t k = 0; k < 4; ++k) {
        packed |= unsigned{block[byte / 32 * 128 + k * 32 + byte % 32]} << (2 * k);
      }
      tq2.push_back(static_cast<std::uint8_t>(packed));
    }
    Append(tq2, kHalf);
    AppendTrits(tq1, block, 32, 5);
    AppendTrits(tq1, block + 160, 16, 5);
    AppendTrits(tq1, block + 240, 4, 4);
    Append(tq1, kHalf);
    for (const std::uint8_t* half : {block, block + 128}) {
      AppendTrits(ptq1, half, 16, 5);
      AppendTrits(ptq1, half + 80, 8, 5);
      AppendTrits(ptq1, half + 120, 2, 4);
      Append(ptq1, kHalf);
    }
  }
  ExpectCodes(Source(Layout::kTq2, tq2, rows, cols), codes, std::vector<float>(6, 0.5F));
  ExpectCodes(Source(Layout::kTq1, tq1, rows, cols), codes, std::vector<float>(6, 0.5F));
  ExpectCodes(Source(Layout::kPtq1, ptq1, rows, cols), codes, std::vector<float>(12, 0.5F));
}

TEST(Q2BlocksOf64And128HoldNeighboursInAByte) {
  Random random(74);
  const std::size_t rows = 2;
  const std::size_t cols = 256;
  const Bytes codes = DrawnCodes(random, rows * cols);
  for (const std::size_t block : {64U, 128U}) {
    Bytes packed;
    for (std::size_t i = 0; i < codes.size(); i += 4) {
      if (i % block == 0) Append(packed, kHalf);
      packed.push_back(static_cast<std::uint8_t>(codes[i] | codes[i + 1] << 2 | codes[i + 2] << 4 |
                                                 codes[i + 3] << 6));
    }
    const Layout layout = block == 64 ? Layout::kQ2Of64 : Layout::kQ2Of128;
    ExpectCodes(Source(layout, packed, rows, cols), codes,
                std::vector<float>(rows * cols / block, 0.5F));
  }
}

TEST(Q8AndQ4AndQ6NumbersAreReadBack) {
  Random random(75);
  Bytes q8;
  Append(q8, kHalf);
  std::vector<float> wanted8;
  Bytes q4;
  Append(q4, kHalf);
  std::vector<float> wanted4(32);
  for (std::size_t i = 0; i < 32; ++i) {
    const int value = random.Integer(-128, 127);
    q8.push_back(static_cast<std::uint8_t>(value));
    wanted8.push_back(0.5F * static_cast<float>(value));
  }
  for (std::size_t i = 0; i < 16; ++i) {
    const int low = random.Integer(0, 15);
    const int high = random.Integer(0, 15);
    q4.push_back(static_cast<std::uint8_t>(low | high << 4));
    wanted4[i] = 0.5F * static_cast<float>(low - 8);
    wanted4[16 + i] = 0.5F * static_cast<float>(high - 8);
  }
  std::vector<float> read(256);
  ReadNumbers(Source(Layout::kQ8, q8, 1, 32), 0, read.data());
  ExpectSameBits({read.begin(), read.begin() + 32}, wanted8, "q8_0");
  ReadNumbers(Source(Layout::kQ4, q4, 1, 32), 0, read.data());
  ExpectSameBits({read.begin(), read.begin() + 32}, wanted4, "q4_0");

  Bytes q6(210);
  std::vector<float> wanted6(256);
  for (std::size_t i = 0; i < 16; ++i) {
    q6[192 + i] = static_cast<std::uint8_t>(random.Integer(-128, 127));
  }
  q6[208] = kHalf & 255;
  q6[209] = kHalf >> 8;
  for (std::size_t i = 0; i < 256; ++i) {
    const int value = random.Integer(0, 63);
    const std::size_t half = i / 128;
    const std::size_t k = i % 128 / 32;
    const std::size_t lane = i % 32;
    q6[half * 64 + k % 2 * 32 + lane] |= static_cast<std::uint8_t>((value & 15) << (k / 2 * 4));
    q6[128 + half * 32 + lane] |= static_cast<std::uint8_t>((value >> 4) << (2 * k));
    const auto scale = static_cast<std::int8_t>(q6[192 + i / 16]);
    wanted6[i] = 0.5F * static_cast<float>(scale) * static_cast<float>(value - 32);
  }
  ReadNumbers(Source(Layout::kQ6, q6, 1, 256), 0, read.data());
  ExpectSameBits(read, wanted6, "q6_k");
}

TEST(RowsInPairsAreTakenApart) {
  Bytes bytes;
  for (std::size_t row = 0; row < 16; ++row) bytes.push_back(static_cast<std::uint8_t>(row));
  TensorSource source{.layout = Layout::kF32, .rows = 16, .cols = 1, .rope_head_dim = 8};
  const std::vector<std::size_t> wanted{0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
  for (std::size_t row = 0; row < 16; ++row) EXPECT_EQ(source.RowInFile(row), wanted[row]);
}

TEST(AFitKeepsWhatIsOnNoGridAsItIs) {
  const std::vector<float> numbers{0.5F, -0.5F, 0, 0.5F, 7, -0.5F, 0.25F, 0.5F};
  Bytes codes(numbers.size());
  std::vector<Outlier> outliers;
  const float scale = FitGroup(numbers, 0x1p-10F, codes, outliers, 3, 100);
  EXPECT_EQ(scale, 0.5F);
  EXPECT(codes == (Bytes{2, 0, 1, 2, 1, 0, 1, 2}));
  EXPECT_EQ(outliers.size(), std::size_t{2});
  EXPECT_EQ(outliers[0].col, std::uint32_t{104});
  EXPECT_EQ(outliers[0].value, 7.0F);
  EXPECT_EQ(outliers[1].value, 0.25F);
}

TEST(TheGridOfAMatrixIsTheLargestThatItsWeightsAreOn) {
  Random random(76);
  ThreadPool pool(2);
  const std::size_t cols = 512;
  for (const std::size_t group : {64U, 128U, 256U, 512U}) {
    Bytes bytes;
    for (std::size_t i = 0; i < 4 * cols; ++i) {
      const float scale = 1.0F + 0.25F * static_cast<float>(i / group % 3);
      const float value = scale * static_cast<float>(random.Integer(-1, 1));
      const auto* raw = reinterpret_cast<const std::uint8_t*>(&value);
      bytes.insert(bytes.end(), raw, raw + sizeof value);
    }
    const auto counts = CountOffGrid(Source(Layout::kF32, bytes, 4, cols), pool);
    for (std::size_t i = 0; i < kGridGroups.size(); ++i) {
      const std::size_t width = kGridGroups[i] == 0 ? cols : kGridGroups[i];
      EXPECT_EQ_AT(counts[i] == 0, width <= group, At({group, kGridGroups[i]}));
    }
  }
}

TEST(TheLastBlockOfI2SIsAsLongAsTheOthers) {
  const Bytes bytes(32);
  bool is_refused = false;
  Source(Layout::kI2S, bytes, 1, 128);
  try {
    Source(Layout::kI2S, bytes, 1, 129);
  } catch (const std::invalid_argument&) {
    is_refused = true;
  }
  EXPECT(is_refused);
}

TEST(RowsThatLieBeyondAllMemoryAreRefused) {
  const Bytes bytes(100);
  TensorSource source = Source(Layout::kF32, bytes, 5, 4);
  source.row_stride = std::size_t{1} << 62;  // four times which is 0
  bool is_refused = false;
  try {
    source.Check();
  } catch (const std::invalid_argument&) {
    is_refused = true;
  }
  EXPECT(is_refused);
}

TEST(ASourceOfTooFewBytesIsRefused) {
  const Bytes bytes(100);
  std::string message;
  try {
    Source(Layout::kQ8, bytes, 3, 32);
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  EXPECT_EQ(message, "a matrix of 3 x 32 takes 102 bytes; there are 100");
}

}  // namespace tercet::test
