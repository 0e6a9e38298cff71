// Guesses from what a sequence has said before, by upstream's n-gram helpers (common/ngram-*.h at the pinned commit).
#pragma once

#include "speculative/spec.h"

#include "ngram-cache.h"
#include "ngram-map.h"
#include "ngram-mod.h"

#include <memory>
#include <vector>

namespace la {

// What all sequences of an engine have said (ngram-mod). The decode thread's alone.
class SharedNgrams {
  public:
    explicit SharedNgrams(int32_t size_n) : size_n_(size_n > 0 ? size_n : k_size_n) {}

    // Made when it is first asked for: it takes 16 MiB.
    common_ngram_mod & table();

  private:
    static constexpr int32_t k_size_n = 24;       // upstream's
    static constexpr size_t k_entries = size_t(4) << 20;

    const int32_t size_n_;
    std::unique_ptr<common_ngram_mod> table_;
};

// Of one sequence. Not thread-safe.
class Lookup {
  public:
    explicit Lookup(const SpeculationSpec & spec);

    // Appends up to n tokens that may follow `said` and `last`, which only ever grow. The kinds are asked in order; the
    // first that knows something is taken.
    void guess(const std::vector<llama_token> & said, llama_token last, int32_t n, SharedNgrams & shared,
               std::vector<llama_token> & out);
    // Of the last guess, n_tried tokens were tried and n_right were right.
    void note(int32_t n_tried, int32_t n_right);

  private:
    using Tokens = std::vector<llama_token>;

    void guess_by(GuessKind kind, const Tokens & said, llama_token last, int32_t n, SharedNgrams & shared, Tokens & out);
    void guess_by_simple(const Tokens & said, llama_token last, int32_t n, Tokens & out) const;
    void guess_by_map(std::unique_ptr<common_ngram_map> & map, bool key_only, const Tokens & said, llama_token last,
                      Tokens & out);
    void guess_by_table(common_ngram_mod & table, const Tokens & said, llama_token last, int32_t n, Tokens & out);
    void guess_by_cache(const Tokens & said, llama_token last, int32_t n, Tokens & out);

    std::vector<GuessKind> kinds_;
    const uint16_t size_n_;
    const uint16_t size_m_;
    const uint16_t min_hits_;
    std::unique_ptr<common_ngram_map> map_k_; // each when first asked: an index takes 1 MiB
    std::unique_ptr<common_ngram_map> map_k4v_;
    common_ngram_map * asked_ = nullptr; // the map that made the last guess
    common_ngram_cache cache_;
    Tokens in_cache_;         // scratch
    size_t n_in_cache_ = 0;   // tokens of the sequence
    size_t n_in_table_ = 0;
};

} // namespace la
