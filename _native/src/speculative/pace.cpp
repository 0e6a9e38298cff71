#include "speculative/pace.h"

#include <algorithm>

namespace la {

namespace {

constexpr int32_t k_lengths[] = { 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256 };

// 1 -> 0, 2 -> 1, 3..4 -> 2, 5..8 -> 3
int size_class(int32_t n, int n_classes) {
    int found = 0;
    while ((1 << found) < n && found < n_classes - 1) {
        ++found;
    }
    return found;
}

void smooth(double & mean, double value) {
    mean = mean == 0 ? value : 0.75 * mean + 0.25 * value;
}

} // namespace

GuessPace::GuessPace(int32_t n_streams)
    : plain_s_(static_cast<size_t>(n_streams) + 1), n_since_plain_(static_cast<size_t>(n_streams) + 1) {}

void GuessPace::note_step(int32_t n_streams, int32_t n_guessed, double seconds) {
    const auto place = static_cast<size_t>(n_streams);
    if (n_streams < 1 || place >= plain_s_.size() || seconds <= 0) {
        return;
    }
    double & plain_s = plain_s_[place];
    if (n_guessed == 0) {
        smooth(plain_s, seconds);
        n_since_plain_[place] = 0;
        return;
    }
    ++n_since_plain_[place];
    if (plain_s > 0) {
        auto & price = prices_[size_class(n_streams, k_n_crowds)][size_class(n_guessed, k_n_sizes)];
        // Never nothing, never more than a step of its own: one measurement may be anything.
        const double token_s = std::clamp((seconds - plain_s) / n_guessed, 1e-3 * plain_s, plain_s);
        smooth(price.token_s, token_s);
    }
}

// Of the nearest size that was seen; a small one's is at least what a larger one's is.
double GuessPace::token_s(int32_t n_streams, int32_t n_guessed) const {
    const auto & sizes = prices_[size_class(n_streams, k_n_crowds)];
    const int wanted = size_class(n_guessed, k_n_sizes);
    for (int distance = 0; distance < k_n_sizes; ++distance) {
        for (const int size : { wanted - distance, wanted + distance }) {
            if (size >= 0 && size < k_n_sizes && sizes[size].token_s > 0) {
                return sizes[size].token_s;
            }
        }
    }
    return k_first_guess * plain_s_[static_cast<size_t>(n_streams)];
}

double GuessPace::token_cost(int32_t n_streams, int32_t n_guessed, double guess_s) const {
    const double plain_s = plain_s_[static_cast<size_t>(n_streams)];
    return plain_s > 0 ? n_streams * (token_s(n_streams, n_guessed) + guess_s) / plain_s : 0;
}

void GuessPace::allot(std::vector<Guessable> & guessables, int32_t n_streams, int32_t n_most) {
    for (auto & guessable : guessables) {
        guessable.n = guessable.adaptive ? 0 : std::min(guessable.n_available, n_most);
        n_most -= guessable.n;
    }
    const auto place = static_cast<size_t>(n_streams);
    const double plain_s = plain_s_[place];
    // Both prices change with the depth of the context: a plain step now and then keeps them comparable.
    if (guessables.empty() || plain_s == 0 || n_since_plain_[place] >= k_steps_between_plain) {
        return;
    }
    double best = k_margin * n_streams / plain_s; // tokens a second
    std::vector<int32_t> chosen(guessables.size());
    std::vector<int32_t> tried(guessables.size());
    for (const int32_t length : k_lengths) {
        int32_t n_left = n_most;
        int32_t n_guessed = 0;
        double n_won = 0;
        double guess_s = 0;
        for (size_t i = 0; i < guessables.size(); ++i) {
            const auto & guessable = guessables[i];
            int32_t n = std::min({ length, guessable.n_available, n_left });
            // What it may lose decides how far it may go, not only what all may win.
            const double price = n_streams * (token_s(n_streams, n) + guessable.token_s) / plain_s;
            n = std::min(n, static_cast<int32_t>(guessable.acceptance->affordable() / price));
            tried[i] = guessable.adaptive && n > 0 && n >= guessable.n_min ? n : 0;
            n_left -= tried[i];
            n_guessed += tried[i];
            n_won += guessable.acceptance->expected(tried[i]);
            guess_s += tried[i] * guessable.token_s;
        }
        if (n_guessed == 0) {
            continue;
        }
        const double seconds = plain_s + guess_s + n_guessed * token_s(n_streams, n_guessed);
        const double rate = (n_streams + n_won) / seconds;
        if (rate > best) {
            best = rate;
            chosen = tried;
        }
    }
    bool any = false;
    for (size_t i = 0; i < guessables.size(); ++i) {
        guessables[i].n += chosen[i];
        any = any || guessables[i].n > 0;
    }
    if (!any) {
        // A price that was measured once in a bad moment must not stand for ever.
        for (auto & price : prices_[size_class(n_streams, k_n_crowds)]) {
            price.token_s *= k_relief;
        }
    }
}

} // namespace la
