#include "doctor/cpu.h"

#include <cstdint>
#include <cstring>
#include <fstream>

#if defined(__x86_64__) || defined(__i386__)
#    include <cpuid.h>
#    define LA_X86 1
#elif defined(_M_X64)
#    include <immintrin.h>
#    include <intrin.h>
#    define LA_X86 1
#endif

#if defined(__APPLE__)
#    include <sys/sysctl.h>
#endif

namespace la {

#if defined(LA_X86)

namespace {

struct Registers {
    uint32_t eax = 0;
    uint32_t ebx = 0;
    uint32_t ecx = 0;
    uint32_t edx = 0;
};

// Zeros where the processor does not know the leaf.
Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
    Registers r;
#    if defined(_M_X64)
    int values[4] = {};
    __cpuid(values, static_cast<int>(leaf & 0x80000000u));
    if (static_cast<uint32_t>(values[0]) >= leaf) {
        __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
        std::memcpy(&r, values, sizeof(r));
    }
#    else
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
#    endif
    return r;
}

// XCR0: the register states that the operating system saves, hence lets us use.
uint64_t enabled_states() {
    if ((cpuid(1).ecx >> 27 & 1) == 0) {
        return 0;
    }
#    if defined(_M_X64)
    return _xgetbv(0);
#    else
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return static_cast<uint64_t>(high) << 32 | low;
#    endif
}

} // namespace

std::string cpu_model() {
    char name[49] = {};
    for (uint32_t i = 0; i < 3; i++) {
        const Registers r = cpuid(0x80000002u + i);
        std::memcpy(name + 16 * i, &r, 16);
    }
    const std::string text = name;
    const size_t begin = text.find_first_not_of(' ');
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

std::vector<std::string> cpu_features() {
    constexpr uint64_t ymm = 0x6;
    constexpr uint64_t zmm = 0xe6;
    constexpr uint64_t tiles = 0x60000;
    const Registers one = cpuid(1);
    const Registers seven = cpuid(7);
    const Registers seven_one = seven.eax >= 1 ? cpuid(7, 1) : Registers{};
    const struct {
        const char * name;
        uint32_t word;
        int bit;
        uint64_t states;
    } known[] = {
        {"SSE3", one.ecx, 0, 0},
        {"SSSE3", one.ecx, 9, 0},
        {"AVX", one.ecx, 28, ymm},
        {"AVX2", seven.ebx, 5, ymm},
        {"F16C", one.ecx, 29, ymm},
        {"FMA", one.ecx, 12, ymm},
        {"BMI2", seven.ebx, 8, 0},
        {"AVX_VNNI", seven_one.eax, 4, ymm},
        {"AVX512", seven.ebx, 16, zmm},
        {"AVX512_VBMI", seven.ecx, 1, zmm},
        {"AVX512_VNNI", seven.ecx, 11, zmm},
        {"AVX512_BF16", seven_one.eax, 5, zmm},
        {"AMX_TILE", seven.edx, 24, tiles},
        {"AMX_BF16", seven.edx, 22, tiles},
        {"AMX_INT8", seven.edx, 25, tiles},
    };
    const uint64_t enabled = enabled_states();
    std::vector<std::string> names;
    for (const auto & feature : known) {
        if ((feature.word >> feature.bit & 1) != 0 && (enabled & feature.states) == feature.states) {
            names.emplace_back(feature.name);
        }
    }
    return names;
}

#else

std::string cpu_model() {
#    if defined(__APPLE__)
    char name[256] = {};
    size_t size = sizeof(name) - 1;
    return sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0 ? name : "";
#    else
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const size_t colon = line.find(": ");
        if (colon != std::string::npos && (line.rfind("model name", 0) == 0 || line.rfind("CPU part", 0) == 0)) {
            return line.substr(colon + 2);
        }
    }
    return "";
#    endif
}

std::vector<std::string> cpu_features() {
    return {};
}

#endif

} // namespace la
