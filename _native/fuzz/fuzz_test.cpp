// Every target with its seeds and with so many mutations of them: the same ones each time, with any compiler.
//
//   fuzz_test [TARGET|all] [RUNS] [SEED]     a longer search: another seed, more runs
//   fuzz_test TARGET FILE                    one input again
#include "targets.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

using la::fuzz::Target;

namespace {

constexpr size_t k_max_bytes = 8192;
const char * const k_last = "fuzz-last-input"; // what was being run when the process died

class Mutator {
  public:
    Mutator(const Target & target, uint64_t seed) : target_(target), random_(seed) {}

    std::string next() {
        std::string text = target_.seeds[below(target_.seeds.size())];
        for (size_t n = 1 + below(6); n > 0; --n) {
            change(text);
        }
        text.resize(std::min(text.size(), k_max_bytes));
        return text;
    }

  private:
    // Not std::uniform_int_distribution, whose numbers differ between libraries.
    size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }

    void change(std::string & text) {
        const size_t at = below(text.size() + 1);
        const size_t n = below(std::min<size_t>(text.size() - at, 64) + 1);
        switch (below(7)) {
            case 0:
                text.insert(at, target_.words[below(target_.words.size())]);
                break;
            case 1:
                text.replace(at, n, target_.words[below(target_.words.size())]);
                break;
            case 2:
                text.erase(at, n);
                break;
            case 3:
                if (at < text.size()) {
                    text[at] = static_cast<char>(random_());
                }
                break;
            case 4: {
                const std::string piece = text.substr(at, n);
                for (size_t i = below(100); i > 0 && text.size() < k_max_bytes; --i) {
                    text.insert(at, piece);
                }
                break;
            }
            case 5: {
                const std::string & other = target_.seeds[below(target_.seeds.size())];
                const size_t from = below(other.size() + 1);
                text.insert(at, other, from, below(200));
                break;
            }
            default:
                text.insert(at, 1 + below(3), static_cast<char>(random_()));
        }
    }

    const Target & target_;
    std::mt19937_64 random_;
};

void run(const Target & target, const std::string & text, bool keep) {
    if (keep) {
        std::ofstream(k_last, std::ios::binary) << text;
    }
    try {
        target.run(text);
    } catch (const std::exception & e) {
        std::printf("finding in %s: an exception that the core does not know: %s\n", target.name, e.what());
        std::ofstream(k_last, std::ios::binary) << text;
        std::exit(1);
    }
}

} // namespace

int main(int argc, char ** argv) {
    const char * model = std::getenv("LLAMA_ASYNC_TEST_MODEL");
    if (!model || !*model) {
        std::printf("LLAMA_ASYNC_TEST_MODEL is not set\n");
        return 77;
    }
    const std::string wanted = argc > 1 ? argv[1] : "all";
    for (const auto & target : la::fuzz::all_targets(model)) {
        if (wanted != "all" && wanted != target.name) {
            continue;
        }
        std::ifstream file(argc > 2 ? argv[2] : "", std::ios::binary);
        if (file) {
            run(target, std::string(std::istreambuf_iterator<char>(file), {}), false);
            continue;
        }
        const long n_runs = argc > 2 ? std::atol(argv[2]) : 300;
        for (const auto & seed : target.seeds) {
            run(target, seed, true);
        }
        Mutator mutator(target, argc > 3 ? static_cast<uint64_t>(std::atoll(argv[3])) : 1);
        for (long i = 0; i < n_runs; ++i) {
            run(target, mutator.next(), true);
        }
        std::printf("ok   %s: %zu seeds, %ld mutations\n", target.name, target.seeds.size(), n_runs);
        std::fflush(stdout);
    }
    std::remove(k_last);
    return 0;
}
