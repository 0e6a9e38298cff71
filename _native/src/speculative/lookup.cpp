#include "speculative/lookup.h"

#include <algorithm>

namespace la {

namespace {

// Upstream's own, 12, finds what is repeated at length only; a guess that is wrong costs little here, since the pace of
// guessing follows what comes true.
constexpr uint16_t k_size_n = 4;

bool is_lookup(GuessKind kind) {
    return kind != GuessKind::draft_simple && kind != GuessKind::draft_mtp;
}

} // namespace

common_ngram_mod & SharedNgrams::table() {
    if (!table_) {
        table_ = std::make_unique<common_ngram_mod>(static_cast<uint16_t>(size_n_), k_entries);
    }
    return *table_;
}

Lookup::Lookup(const SpeculationSpec & spec)
    : size_n_(spec.ngram_size_n > 0 ? static_cast<uint16_t>(spec.ngram_size_n) : k_size_n),
      size_m_(static_cast<uint16_t>(std::max(1, spec.ngram_size_m > 0 ? spec.ngram_size_m : spec.n_max))),
      min_hits_(static_cast<uint16_t>(spec.ngram_min_hits)) {
    std::copy_if(spec.kinds.begin(), spec.kinds.end(), std::back_inserter(kinds_), is_lookup);
}

void Lookup::guess(const Tokens & said, llama_token last, int32_t n, SharedNgrams & shared, Tokens & out) {
    asked_ = nullptr;
    for (const GuessKind kind : kinds_) {
        if (n > 0 && out.empty()) {
            guess_by(kind, said, last, n, shared, out);
        }
    }
    if (out.size() > static_cast<size_t>(std::max(0, n))) {
        out.resize(static_cast<size_t>(std::max(0, n)));
    }
}

void Lookup::guess_by(GuessKind kind, const Tokens & said, llama_token last, int32_t n, SharedNgrams & shared,
                      Tokens & out) {
    switch (kind) {
        case GuessKind::ngram_simple:
            return guess_by_simple(said, last, n, out);
        case GuessKind::ngram_map_k:
            return guess_by_map(map_k_, true, said, last, out);
        case GuessKind::ngram_map_k4v:
            return guess_by_map(map_k4v_, false, said, last, out);
        case GuessKind::ngram_mod:
            return guess_by_table(shared.table(), said, last, n, out);
        case GuessKind::ngram_cache:
            return guess_by_cache(said, last, n, out);
        case GuessKind::draft_simple:
        case GuessKind::draft_mtp:
            return;
    }
}

// Upstream's refuses to look into a text that is not longer than the guess would be: so a short text is asked for less.
void Lookup::guess_by_simple(const Tokens & said, llama_token last, int32_t n, Tokens & out) const {
    const auto n_said = static_cast<int32_t>(said.size());
    const int32_t size_m = std::min({ static_cast<int32_t>(size_m_), std::max<int32_t>(n, size_n_), n_said - size_n_ - 2 });
    if (size_m >= size_n_) {
        out = common_ngram_simple_draft({ size_n_, static_cast<uint16_t>(size_m) }, said, last);
    }
}

void Lookup::guess_by_map(std::unique_ptr<common_ngram_map> & map, bool key_only, const Tokens & said, llama_token last,
                          Tokens & out) {
    if (!map) {
        map = std::make_unique<common_ngram_map>(size_n_, size_m_, key_only, min_hits_);
        common_ngram_map_begin(*map, said);
    }
    if (said.size() < map->idx_last_check) {
        common_ngram_map_begin(*map, said); // upstream would abort
    }
    common_ngram_map_draft(*map, said, last, out);
    asked_ = map.get();
}

void Lookup::guess_by_table(common_ngram_mod & table, const Tokens & said, llama_token last, int32_t n, Tokens & out) {
    const size_t size = table.get_n();
    if (said.size() < size + 1) {
        return;
    }
    if (table.get_used() > table.size() / 4) {
        table.reset(); // too full to tell one n-gram from another
    }
    // Each entry is an n-gram and what followed it.
    for (; n_in_table_ + size < said.size(); ++n_in_table_) {
        table.add(said.data() + n_in_table_);
    }
    Tokens window(said.end() - static_cast<std::ptrdiff_t>(size - 1), said.end());
    window.push_back(last);
    for (int32_t i = 0; i < n; ++i) {
        const llama_token next = table.get(window.data() + i);
        if (next == common_ngram_mod::EMPTY) {
            return;
        }
        window.push_back(next);
        out.push_back(next);
    }
}

void Lookup::guess_by_cache(const Tokens & said, llama_token last, int32_t n, Tokens & out) {
    in_cache_ = said;
    in_cache_.push_back(last);
    if (n_in_cache_ > in_cache_.size()) {
        cache_.clear();
        n_in_cache_ = 0;
    }
    common_ngram_cache_update(cache_, LLAMA_NGRAM_MIN, LLAMA_NGRAM_MAX, in_cache_,
                              static_cast<int>(in_cache_.size() - n_in_cache_), false);
    n_in_cache_ = in_cache_.size();
    if (in_cache_.size() < LLAMA_NGRAM_MAX) {
        return; // upstream would read before its beginning
    }
    common_ngram_cache none;
    out.assign(1, last);
    common_ngram_cache_draft(in_cache_, out, n, LLAMA_NGRAM_MIN, LLAMA_NGRAM_MAX, cache_, none, none);
    out.erase(out.begin());
}

void Lookup::note(int32_t n_tried, int32_t n_right) {
    if (asked_ && n_tried > 0) {
        // Tried to its end and right, it may have been right further on.
        common_ngram_map_accept(*asked_, static_cast<uint16_t>(n_right < n_tried ? n_right : size_m_));
    }
}

} // namespace la
