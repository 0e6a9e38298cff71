#include "speculative/step_prices.h"

#include <algorithm>
#include <cmath>

namespace la {

void StepPrices::Price::note(double seconds) {
    kept_[static_cast<size_t>(at_)] = static_cast<float>(seconds);
    at_ = (at_ + 1) % k_n_kept;
    n_ = std::min(n_ + 1, k_n_kept);
    auto sorted = kept_;
    const auto middle = sorted.begin() + (n_ - 1) / 2;
    std::nth_element(sorted.begin(), middle, sorted.begin() + n_);
    value_ = double(*middle);
}

// The nearest.
size_t StepPrices::knot(int32_t n_guessed) {
    const auto above = std::lower_bound(k_knots.begin(), k_knots.end(), n_guessed);
    if (above == k_knots.end()) {
        return k_knots.size() - 1;
    }
    const auto place = static_cast<size_t>(above - k_knots.begin());
    return place > 0 && n_guessed - k_knots[place - 1] < *above - n_guessed ? place - 1 : place;
}

const StepPrices::Price * StepPrices::price(StepGraph graph) const {
    const Crowd * known = crowd(graph.n_sequences);
    return known ? &known->prices[knot(graph.n_guessed())] : nullptr;
}

bool StepPrices::knows(StepGraph graph) const {
    const Price * seen = price(graph);
    return seen && seen->n() > 0;
}

// Of one row of each sequence, at level 1; where that was not seen, halfway between the price of the nearest crowd and
// what that is for a sequence.
double StepPrices::plain(int32_t n_sequences) const {
    const auto n_crowds = static_cast<int32_t>(crowds_.size());
    for (int32_t distance = 0; distance < n_crowds; ++distance) {
        for (const int32_t n : { n_sequences + distance, n_sequences - distance }) {
            if (n > 0 && n < n_crowds && crowd(n) && crowd(n)->prices[0].n() > 0) {
                return crowd(n)->prices[0].value() * (0.5 + 0.5 * n_sequences / n);
            }
        }
    }
    return 0;
}

// Of a row beside those of the sequences, at level 1, as far as the nearest crowd knows it from the longest guesses.
double StepPrices::row(int32_t n_sequences) const {
    const auto n_crowds = static_cast<int32_t>(crowds_.size());
    for (int32_t distance = 0; distance < n_crowds; ++distance) {
        for (const int32_t n : { n_sequences - distance, n_sequences + distance }) {
            if (n <= 0 || n >= n_crowds || !crowd(n)) {
                continue;
            }
            const auto & prices = crowd(n)->prices;
            for (size_t i = prices.size() - 1; i > 0; --i) {
                if (prices[i].n() > 0) {
                    return std::max(0.0, prices[i].value() - plain(n)) / k_knots[i];
                }
            }
        }
    }
    return k_first_guess * plain(n_sequences);
}

double StepPrices::estimate(StepGraph graph, bool hopeful) const {
    const double first = plain(graph.n_sequences);
    const int32_t n_guessed = graph.n_guessed();
    if (n_guessed <= 0 || first == 0) {
        return first;
    }
    int32_t n_below = 0;
    double below = first;
    double doubt = 1;
    if (const Crowd * known = crowd(graph.n_sequences)) {
        doubt = known->doubt;
        for (size_t i = 1; i < k_knots.size(); ++i) {
            if (known->prices[i].n() == 0) {
                continue;
            }
            // Guesses do not make a step faster.
            const double seen = std::max(first, known->least[i]);
            if (k_knots[i] >= n_guessed) {
                const double at = double(n_guessed - n_below) / (k_knots[i] - n_below);
                return first + doubt * (below + at * (seen - below) - first);
            }
            n_below = k_knots[i];
            below = seen;
        }
    }
    const double row_s = n_below > 0 ? k_hope * (below - first) / n_below
                         : hopeful   ? row(graph.n_sequences)
                                     : first / graph.n_sequences;
    return first + doubt * (below + row_s * (n_guessed - n_below) - first);
}

double StepPrices::seconds(const std::vector<StepGraph> & graphs) const {
    double sum = 0;
    for (const auto & graph : graphs) {
        sum += seconds(graph);
    }
    return sum;
}

double StepPrices::most(const std::vector<StepGraph> & graphs) const {
    double sum = 0;
    for (const auto & graph : graphs) {
        sum += level_ * estimate(graph, false);
    }
    return sum;
}

void StepPrices::bring_up(Crowd & crowd, int32_t n_sequences) {
    const double first = crowd.prices[0].value();
    std::array<double, k_knots.size()> believed = {};
    double below = first;
    int32_t n_below = 0;
    for (size_t i = 0; i < k_knots.size(); ++i) {
        if (crowd.prices[i].n() == 0) {
            continue;
        }
        believed[i] = crowd.prices[i].value();
        // What was seen once and is out of line may have been preempted: it is tried again before it is believed.
        if (crowd.prices[i].n() == 1 && i > 0 && first > 0) {
            const double worst = first * (1 + k_worst * k_knots[i] / n_sequences);
            const double line = n_below > 0 ? below + (below - first) / n_below * (k_knots[i] - n_below) : worst;
            believed[i] = std::min({ believed[i], worst, line });
        }
        below = believed[i];
        n_below = k_knots[i];
    }
    double least = 0;
    for (size_t i = k_knots.size(); i-- > 0;) {
        least = believed[i] > 0 && (least == 0 || believed[i] < least) ? believed[i] : least;
        crowd.least[i] = least;
    }
}

void StepPrices::keep(StepGraph graph, double seconds) {
    auto & known = crowds_[static_cast<size_t>(graph.n_sequences)];
    if (!known) {
        known = std::make_unique<Crowd>();
    }
    const size_t place = knot(graph.n_guessed());
    const int32_t n_off = graph.n_guessed() - k_knots[place];
    const double moved = seconds / level_ - (n_off != 0 ? n_off * row(graph.n_sequences) : 0);
    known->prices[place].note(std::max(moved, 0.5 * seconds / level_));
    bring_up(*known, graph.n_sequences);
    if (graph.n_guessed() > 0) {
        known->doubt = 1;
    }
}

void StepPrices::note(const std::vector<StepGraph> & graphs, double seconds) {
    if (graphs.empty() || seconds <= 0) {
        return;
    }
    const double expected = this->seconds(graphs);
    bool settled = true;
    const StepGraph * unknown = nullptr;
    int n_unknown = 0;
    for (const auto & graph : graphs) {
        const Price * seen = price(graph);
        settled = settled && seen && seen->n() >= k_settled;
        if (!seen || seen->n() == 0) {
            unknown = &graph;
            ++n_unknown;
        }
    }
    if (graphs.size() == 1) {
        keep(graphs[0], seconds);
    } else if (n_unknown == 1) {
        const double its = this->seconds(*unknown);
        keep(*unknown, std::max(seconds - (expected - its), 0.25 * its));
    } else if (expected > 0) {
        const double scale = seconds / expected;
        for (const auto & graph : graphs) {
            keep(graph, scale * this->seconds(graph));
        }
    }
    if (settled && expected > 0) {
        constexpr double k_follow = 0.4;
        constexpr double k_outlier = 0.25; // one step that was preempted says little
        level_ *= std::exp(k_follow * std::clamp(std::log(seconds / expected), -k_outlier, k_outlier));
    }
}

void StepPrices::doubt(int32_t n_sequences) {
    if (auto & known = crowds_[static_cast<size_t>(n_sequences)]) {
        known->doubt = std::max(k_most_doubt, known->doubt * k_doubt);
    }
}

} // namespace la
