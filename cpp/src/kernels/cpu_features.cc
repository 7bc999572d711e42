// What the CPU can execute and the operating system saves at a task switch: both are needed, as an
// instruction on registers that are not saved traps, or worse, loses them.
#include "kernels/registry.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace tercet {
namespace {

struct NamedFeature {
  uint32_t bit;
  const char* name;
};

constexpr NamedFeature kNames[] = {
    {kAvx2, "avx2"},
    {kFma, "fma"},
    {kF16c, "f16c"},
    {kBmi2, "bmi2"},
    {kAvx512, "avx512"},
    {kAvx512Vnni, "avx512_vnni"},
    {kAvx512Vbmi, "avx512_vbmi"},
    {kAvxVnni, "avx_vnni"},
    {kAmxInt8, "amx_int8"},
    {kSsse3, "ssse3"},
    {kSse41, "sse4.1"},
    {kArmDotProd, "dotprod"},
    {kArmI8mm, "i8mm"},
};

#if defined(__x86_64__)
struct Registers {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

Registers Cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) {
    return {};
  }
  return r;
}

// Which register state the OS saves: bits of XCR0.
uint64_t EnabledState() {
  // NOLINTBEGIN(misc-const-correctness): the instruction writes them
  uint32_t low = 0;
  uint32_t high = 0;
  // NOLINTEND(misc-const-correctness)
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

constexpr bool HasAll(uint64_t value, uint64_t bits) { return (value & bits) == bits; }

constexpr uint32_t Bit(unsigned position) { return 1u << position; }

// Whether the tiles are those that the kernels are written for: palette 1 of eight tiles of 16 rows
// of 64 bytes. Leaf 0x1D would say so of any other.
bool TilesAreAsExpected() {
  const Registers palettes = Cpuid(0x1d, 0);
  const Registers one = Cpuid(0x1d, 1);
  return palettes.eax >= 1 && one.eax == (1024u << 16 | 8192u) && one.ebx == (8u << 16 | 64u) &&
         (one.ecx & 0xffffu) == 16u;
}

// Linux lets a process use tiles only after it has asked, because they make signal frames 8 KB
// larger; threads inherit the permission. No other system that we know asks or allows.
bool MayUseTiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

uint32_t Detect() {
  constexpr uint64_t kYmmState = 0x06;      // SSE and AVX
  constexpr uint64_t kZmmState = 0xe6;      // and masks, upper halves, upper 16 registers
  constexpr uint64_t kTileState = 0x60000;  // tile configuration and data

  // What compilers take for granted where there is AVX: SSE3 to SSE4.2 and POPCNT.
  constexpr uint32_t kWithAvx = Bit(0) | Bit(9) | Bit(19) | Bit(20) | Bit(23);

  const Registers one = Cpuid(1, 0);
  const Registers seven = Cpuid(7, 0);
  const Registers more = seven.eax >= 1 ? Cpuid(7, 1) : Registers{};
  const bool os_saves = HasAll(one.ecx, Bit(27));
  const uint64_t state = os_saves ? EnabledState() : 0;

  uint32_t features = 0;
  const auto offer = [&features](bool has, uint32_t feature) {
    if (has) {
      features |= feature;
    }
  };
  offer(HasAll(one.ecx, Bit(0) | Bit(9)), kSsse3);  // SSE3 too
  offer(HasAll(one.ecx, Bit(19)), kSse41);
  offer(HasAll(seven.ebx, Bit(8)), kBmi2);
  if (HasAll(state, kYmmState) && HasAll(one.ecx, Bit(28) | kWithAvx)) {
    offer(HasAll(seven.ebx, Bit(5)), kAvx2);
    offer(HasAll(one.ecx, Bit(12)), kFma);
    offer(HasAll(one.ecx, Bit(29)), kF16c);
    offer(HasAll(more.eax, Bit(4)), kAvxVnni);
  }
  if (HasAll(state, kZmmState)) {
    offer(HasAll(seven.ebx, Bit(16) | Bit(17) | Bit(30) | Bit(31)), kAvx512);  // F, DQ, BW, VL
    offer(HasAll(seven.ecx, Bit(11)), kAvx512Vnni);
    offer(HasAll(seven.ecx, Bit(1) | Bit(6)), kAvx512Vbmi);  // VBMI, VBMI2
  }
  if (HasAll(state, kTileState) && HasAll(seven.edx, Bit(24) | Bit(25)) && TilesAreAsExpected()) {
    offer(MayUseTiles(), kAmxInt8);
  }
  return features;
}
#elif defined(__aarch64__) && defined(__linux__)
// The kernel's word: an instruction that says what the CPU has is not one for user programs.
uint32_t Detect() {
  constexpr unsigned long kAsimdDp = 1ul << 20;  // HWCAP_ASIMDDP
  constexpr unsigned long kI8mm = 1ul << 13;     // HWCAP2_I8MM
  return ((getauxval(AT_HWCAP) & kAsimdDp) != 0 ? kArmDotProd : 0u) |
         ((getauxval(AT_HWCAP2) & kI8mm) != 0 ? kArmI8mm : 0u);
}
#elif defined(__aarch64__) && defined(__APPLE__)
bool SystemHas(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

uint32_t Detect() {
  return (SystemHas("hw.optional.arm.FEAT_DotProd") ? kArmDotProd : 0u) |
         (SystemHas("hw.optional.arm.FEAT_I8MM") ? kArmI8mm : 0u);
}
#else
uint32_t Detect() { return 0; }
#endif

}  // namespace

uint32_t DetectCpuFeatures() {
  static const uint32_t features = Detect();
  return features;
}

std::vector<std::string> FeatureNames(uint32_t features) {
  std::vector<std::string> names;
  for (const NamedFeature& feature : kNames) {
    if ((features & feature.bit) != 0) {
      names.emplace_back(feature.name);
    }
  }
  return names;
}

}  // namespace tercet
