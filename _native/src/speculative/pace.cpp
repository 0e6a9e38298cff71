#include "speculative/pace.h"

#include <algorithm>
#include <numeric>

namespace la {

namespace {

constexpr int32_t k_lengths[] = { 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 256 };

} // namespace

double GuessPace::seconds(const std::vector<SlotRows> & rows) const {
    step_graphs(rows, partitioned_, graphs_);
    return prices_.seconds(graphs_);
}

void GuessPace::note_step(const std::vector<SlotRows> & rows, double seconds) {
    if (rows.empty() || rows.size() >= guessing_.size()) {
        return;
    }
    step_graphs(rows, partitioned_, graphs_);
    prices_.note(graphs_, seconds);
    const bool plain = std::all_of(rows.begin(), rows.end(), [](const SlotRows & row) { return row.n == 1; });
    Guessing & guessing = guessing_[rows.size()];
    if (plain && guessing.n_since_plain >= guessing.n_between_plain) {
        guessing.n_between_plain = std::min(2 * guessing.n_between_plain, k_most_between_plain);
    }
    guessing.n_since_plain = plain ? 0 : guessing.n_since_plain + 1;
}

double GuessPace::token_cost(const std::vector<SlotRows> & rows, double guess_s) const {
    const auto n_streams = static_cast<int32_t>(rows.size());
    rows_ = rows;
    int32_t n_guessed = 0;
    for (auto & row : rows_) {
        n_guessed += row.n - 1;
        row.n = 1;
    }
    const double plain_s = seconds(rows_);
    if (plain_s <= 0 || n_guessed == 0) {
        return 0;
    }
    return n_streams * ((seconds(rows) - plain_s) / n_guessed + guess_s) / plain_s;
}

// If the i-th guesses n[i].
GuessPace::Outlook GuessPace::outlook(const std::vector<Guessable> & guessables, const std::vector<int32_t> & n) const {
    Outlook found;
    rows_.clear();
    for (const int32_t slot : slots_) {
        rows_.push_back({ slot, 1 });
    }
    auto row = rows_.begin();
    for (size_t i = 0; i < guessables.size(); ++i) {
        row = std::find_if(row, rows_.end(), [&](const SlotRows & each) { return each.slot == guessables[i].slot; });
        row->n += n[i];
        found.n_guessed += n[i];
        found.n_won += guessables[i].acceptance->expected(n[i]);
        found.seconds += n[i] * guessables[i].token_s;
    }
    found.most_seconds = found.seconds;
    found.seconds += seconds(rows_);
    found.most_seconds += prices_.most(graphs_);
    return found;
}

// What a sequence may lose decides whether it takes part, not only what all may win.
void GuessPace::leave_the_poor(const std::vector<Guessable> & guessables, double plain_s, std::vector<int32_t> & n) const {
    const Outlook all = outlook(guessables, n);
    const double token_cost = static_cast<double>(slots_.size()) * (all.most_seconds - plain_s) / (plain_s * all.n_guessed);
    for (size_t i = 0; i < n.size(); ++i) {
        if (n[i] * token_cost > guessables[i].acceptance->affordable()) {
            n[i] = 0;
        }
    }
}

void GuessPace::allot(std::vector<Guessable> & guessables, const std::vector<int32_t> & slots, int32_t n_most) {
    for (auto & guessable : guessables) {
        guessable.n = guessable.adaptive ? 0 : std::min(guessable.n_available, n_most);
        n_most -= guessable.n;
    }
    const auto n_streams = static_cast<int32_t>(slots.size());
    if (guessables.empty() || slots.size() >= guessing_.size()) {
        return;
    }
    slots_ = slots;
    tried_.assign(guessables.size(), 0);
    const double plain_s = outlook(guessables, tried_).seconds;
    const bool known = std::all_of(graphs_.begin(), graphs_.end(), [&](StepGraph graph) { return prices_.knows(graph); });
    // Both prices change with the depth of the context: a plain step now and then keeps them comparable.
    const bool can_be_plain = std::all_of(guessables.begin(), guessables.end(), [](const auto & one) { return one.adaptive; });
    const auto & guessing = guessing_[slots.size()];
    if (!known || plain_s <= 0 || (can_be_plain && guessing.n_since_plain >= guessing.n_between_plain)) {
        return;
    }
    by_chance_.resize(guessables.size());
    std::iota(by_chance_.begin(), by_chance_.end(), size_t(0));
    std::sort(by_chance_.begin(), by_chance_.end(), [&](size_t a, size_t b) {
        return guessables[a].acceptance->p() > guessables[b].acceptance->p();
    });
    double best = k_margin * n_streams / plain_s; // tokens a second
    chosen_.assign(guessables.size(), 0);
    // The likeliest one, two, four .. of them, all equally far: different lengths are different graphs.
    for (size_t n_guessing = 1;; n_guessing = std::min(2 * n_guessing, guessables.size())) {
        int32_t n_before = 0;
        for (const int32_t length : k_lengths) {
            int32_t n_left = n_most;
            int32_t n_guessed = 0;
            tried_.assign(guessables.size(), 0);
            for (size_t i = 0; i < n_guessing; ++i) {
                const auto & guessable = guessables[by_chance_[i]];
                const int32_t n = std::min({ length, guessable.n_available, n_left });
                tried_[by_chance_[i]] = guessable.adaptive && n > 0 && n >= guessable.n_min ? n : 0;
                n_left -= tried_[by_chance_[i]];
                n_guessed += tried_[by_chance_[i]];
            }
            if (n_guessed == n_before) {
                continue; // nobody has more; or nobody has enough yet
            }
            n_before = n_guessed;
            leave_the_poor(guessables, plain_s, tried_);
            const Outlook found = outlook(guessables, tried_);
            const double rate = (n_streams + found.n_won) / found.seconds;
            if (found.n_guessed > 0 && rate > best) {
                best = rate;
                chosen_ = tried_;
            }
        }
        if (n_guessing == guessables.size()) {
            break;
        }
    }
    bool any = false;
    for (size_t i = 0; i < guessables.size(); ++i) {
        guessables[i].n += chosen_[i];
        any = any || guessables[i].n > 0;
    }
    if (!any) {
        prices_.doubt(n_streams); // what was measured in a bad moment must not stand for ever
    }
}

} // namespace la
