// One target under libFuzzer: LLAMA_ASYNC_FUZZ_TARGET names it. Its seeds go into the directory that
// LLAMA_ASYNC_FUZZ_SEEDS names, if that is set.
#include "targets.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace {

const la::fuzz::Target & target() {
    static const la::fuzz::Target chosen = [] {
        const auto variable = [](const char * name) { return std::string(std::getenv(name) ? std::getenv(name) : ""); };
        const std::string wanted = variable("LLAMA_ASYNC_FUZZ_TARGET");
        for (auto & one : la::fuzz::all_targets(variable("LLAMA_ASYNC_TEST_MODEL"))) {
            if (wanted == one.name) {
                return one;
            }
        }
        std::fprintf(stderr, "LLAMA_ASYNC_FUZZ_TARGET is '%s', which is no target\n", wanted.c_str());
        std::exit(2);
    }();
    return chosen;
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
    if (const char * directory = std::getenv("LLAMA_ASYNC_FUZZ_SEEDS")) {
        size_t n = 0;
        for (const auto & seed : target().seeds) {
            std::ofstream(std::string(directory) + "/seed" + std::to_string(n++), std::ios::binary) << seed;
        }
        std::ofstream words(std::string(directory) + ".dict");
        for (const auto & word : target().words) {
            words << '"';
            for (const unsigned char c : word) {
                char hex[5];
                std::snprintf(hex, sizeof(hex), "\\x%02x", c);
                words << hex;
            }
            words << "\"\n";
        }
        words.close(); // exit() ends no life of a local
        std::exit(0);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, size_t size) {
    target().run({ reinterpret_cast<const char *>(data), size });
    return 0;
}
