#include "speculative/spec.h"

#include "base/error.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace la {

namespace {

constexpr std::pair<const char *, GuessKind> k_names[] = {
    { "ngram-simple", GuessKind::ngram_simple },   { "ngram-map-k", GuessKind::ngram_map_k },
    { "ngram-map-k4v", GuessKind::ngram_map_k4v }, { "ngram-mod", GuessKind::ngram_mod },
    { "ngram-cache", GuessKind::ngram_cache },     { "draft-simple", GuessKind::draft_simple },
    { "draft-mtp", GuessKind::draft_mtp },
};

constexpr char k_param[] = "speculative";

GuessKind kind_of(std::string_view name) {
    std::string names;
    for (const auto & [known, kind] : k_names) {
        if (name == known) {
            return kind;
        }
        names += (names.empty() ? "" : ", ") + std::string(known);
    }
    throw Error(LA_ERR_INVALID, "speculative names '" + std::string(name) + "', must be none or any of " + names, k_param);
}

std::vector<GuessKind> kinds_of(std::string_view names) {
    std::vector<GuessKind> kinds;
    while (!names.empty()) {
        const size_t comma = std::min(names.find(','), names.size());
        const std::string_view name = names.substr(0, comma);
        names.remove_prefix(std::min(comma + 1, names.size()));
        if (name == "none") {
            continue;
        }
        const GuessKind kind = kind_of(name);
        if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
            kinds.push_back(kind);
        }
    }
    return kinds;
}

int32_t within(const char * name, int32_t value, int32_t low, int32_t high, int32_t fallback) {
    if (value < 0) {
        return fallback;
    }
    if (value < low || value > high) {
        throw Error(LA_ERR_INVALID,
                    std::string("speculative.") + name + " is " + std::to_string(value) + ", must be between " +
                        std::to_string(low) + " and " + std::to_string(high),
                    k_param);
    }
    return value;
}

} // namespace

const char * name_of(GuessKind kind) {
    for (const auto & [name, known] : k_names) {
        if (known == kind) {
            return name;
        }
    }
    return "";
}

SpeculationSpec::SpeculationSpec(const la_speculation & s, const SpeculationSpec & defaults)
    : kinds(s.kinds.size > 0 ? kinds_of({ s.kinds.data, s.kinds.size }) : defaults.kinds),
      n_max(within("n_max", s.n_max, 0, k_most, defaults.n_max)),
      n_min(within("n_min", s.n_min, 0, k_most, defaults.n_min)),
      p_min(s.p_min < 0 ? defaults.p_min : s.p_min),
      ngram_size_n(within("ngram_size_n", s.ngram_size_n, 1, 1024, defaults.ngram_size_n)),
      ngram_size_m(within("ngram_size_m", s.ngram_size_m, 1, k_most, defaults.ngram_size_m)),
      ngram_min_hits(within("ngram_min_hits", s.ngram_min_hits, 1, 1024, defaults.ngram_min_hits)),
      adaptive(s.adaptive < 0 ? defaults.adaptive : s.adaptive != 0) {
    if (!(p_min >= 0 && p_min <= 1)) {
        throw Error(LA_ERR_INVALID, "speculative.p_min is " + std::to_string(p_min) + ", must be between 0 and 1", k_param);
    }
}

bool SpeculationSpec::has(GuessKind kind) const {
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

} // namespace la
