#include "tune/search.h"

#include "planner/planner.h"

#include <algorithm>
#include <optional>

namespace la {

namespace {

// The request that candidates are compared by. Both numbers are of new tokens: prefixes are mostly cached.
constexpr int32_t k_prompt = 256;
constexpr int32_t k_answer = 128;

// Of all candidates of a setting. One more, of decoding, is not counted: it fills buffers and builds graphs.
constexpr int32_t k_min_rounds = 1;
constexpr int32_t k_good_rounds = 3;
constexpr int32_t k_max_rounds = 5;

// Of a prompt that nobody decodes beside: the largest that there is time for. Below 64 tokens upstream's flash attention
// has other kernels.
constexpr int32_t k_chunks[] = { 256, 128, 64, 32, 16 };
constexpr int32_t k_least_chunk = 64;
constexpr int32_t k_first_chunk = 16;

// Flash attention is measured at one depth. Nearer the start it gains more than there: off must win by this much.
constexpr double k_margin_of_depth = 0.15;

const char * const k_no_time = "no time left";
const char * const k_impossible = "not possible with this model";

class Search {
  public:
    Search(const Settings & standard, const OpenSettings & open, Rig & rig, double budget_s)
        : open_(open), rig_(rig), start_s_(rig.now()), end_s_(start_s_ + budget_s) {
        result_.settings = standard;
        result_.budget_s = budget_s;
    }

    Tuning run() {
        const Settings standard = result_.settings;
        try {
            measure();
        } catch (const std::exception & e) { // a rig's, or upstream's: then the engine finds out by itself
            result_.settings = standard;
            result_.stopped = e.what();
            result_.comparisons.clear();
        }
        result_.busy = rig_.is_busy();
        result_.seconds = rig_.now() - start_s_;
        return std::move(result_);
    }

  private:
    using Cost = std::function<double(const Settings &)>;
    using Set = std::function<void(Settings &, int32_t)>;

    struct Race {
        std::vector<int32_t> values;
        Set set;
        std::vector<Cost> costs; // their sum is what counts; in the round that is not counted, the first
        double expected_s;       // of one candidate in one round
        double expected_first_s; // of one in the round that is not counted
    };

    void measure() {
        Settings & settings = result_.settings;
        one_s_ = rig_.decode(settings, 1); // touches weights and buffers
        step_s_ = one_s_ < 0 ? -1 : rig_.decode(settings, streams());
        result_.n_streams = rig_.n_streams();
        result_.depth = rig_.depth();
        if (step_s_ < 0) {
            return leave_all(k_impossible);
        }
        if (!fits(2 * (1 + k_min_rounds) * one_s_)) {
            return leave_all("a step takes too long");
        }
        measure_flash();
        rig_.keep_only(settings);
        measure_threads();
        measure_poll();
        measure_batch_threads();
        measure_layout();
        rig_.keep_only(settings);
        measure_ubatch();
    }

    // -- each setting -------------------------------------------------------------------------------------------------

    void measure_flash() {
        if (!open_.flash_attention) {
            return;
        }
        if (rig_.depth() == 0) {
            return leave("flash_attention", k_impossible);
        }
        const auto set = [](Settings & settings, int32_t value) { settings.flash_attention = value; };
        const double token_s = prefill_token_s(result_.settings);
        if (token_s < 0 || fits(2 * (2 * (step_s_ + one_s_) + (streams() > 1 ? part() : k_least_chunk) * token_s))) {
            return compare_requests("flash_attention", { -1, 0 }, set, 0.85, k_least_chunk, k_margin_of_depth);
        }
        // No time for prefill: decoding alone.
        const auto decode = [this, n = streams()](const Settings & settings) {
            const double all = rig_.decode(settings, n);
            const double one = rig_.decode(settings, 1);
            return all < 0 || one < 0 ? -1.0 : all + one;
        };
        const double expected_s = step_s_ + one_s_;
        compare("flash_attention", steps_unit() + " and one of one",
                { { -1, 0 }, set, { decode }, expected_s, expected_s }, 0.6, k_margin_of_depth);
    }

    // Upstream computes with them where a step has one token.
    void measure_threads() {
        const auto values = thread_candidates(result_.settings.n_threads);
        if (!open_.n_threads || values.size() < 2) {
            return;
        }
        const auto set = [](Settings & settings, int32_t value) { settings.n_threads = value; };
        const auto cost = [this](const Settings & settings) { return rig_.decode(settings, 1); };
        compare("n_threads", "a step of one stream", { values, set, { cost }, one_s_, one_s_ }, 0.4);
    }

    // With these where it has more: prompts, and several streams.
    void measure_batch_threads() {
        const auto values = thread_candidates(result_.settings.n_threads_batch);
        if (!open_.n_threads_batch || values.size() < 2) {
            return;
        }
        const auto set = [](Settings & settings, int32_t value) { settings.n_threads_batch = value; };
        compare_requests("n_threads_batch", values, set, 0.6, /* least chunk */ k_first_chunk);
    }

    void measure_layout() {
        if (!open_.kv_unified || streams() < 2) {
            return;
        }
        if (rig_.depth() == 0) {
            return leave("kv_unified", k_impossible);
        }
        const auto set = [](Settings & settings, int32_t value) { settings.kv_unified = value != 0; };
        // Decoding alone settles it nearly always; only where it speaks for the other one prefill is asked too.
        Settings & settings = result_.settings;
        const Race decoding = { { 0, 1 }, set, { decode_cost() }, step_s_, step_s_ };
        if (compare("kv_unified", steps_unit(), decoding, 0.4) && settings.kv_unified) {
            settings.kv_unified = false;
            result_.comparisons.pop_back();
            compare_requests("kv_unified", { 0, 1 }, set, 0.85, k_least_chunk);
        }
    }

    void measure_poll() {
        if (!open_.poll || result_.settings.n_threads < 2) {
            return;
        }
        const auto set = [](Settings & settings, int32_t value) { settings.poll = value; };
        const auto cost = [this](const Settings & settings) { return rig_.answer(settings); };
        const double expected_s = Rig::k_answer_steps * one_s_;
        compare("poll", "a step of one stream, with work between steps",
                { { result_.settings.poll, 0 }, set, { cost }, expected_s, expected_s }, 0.5);
    }

    // Only smaller ones: what a larger one gains, streams that decode beside it would pay for.
    void measure_ubatch() {
        const int32_t n = result_.settings.n_ubatch;
        if (!open_.n_ubatch || n < 4) {
            return;
        }
        const double token_s = prefill_token_s(result_.settings);
        if (token_s < 0) {
            return leave("n_ubatch", k_impossible);
        }
        const auto set = [](Settings & settings, int32_t value) { settings.n_ubatch = value; };
        const auto cost = [this, n](const Settings & settings) { return rig_.prefill(settings, n); };
        compare("n_ubatch", std::to_string(n) + " prompt tokens",
                { { n, n / 2, n / 4 }, set, { cost }, n * token_s, n * token_s }, 1);
    }

    // -- races --------------------------------------------------------------------------------------------------------

    // One request alone, and as many at once as there are streams. These compute their prompts in parts, beside each other's
    // tokens; upstream's kernels have paths of their own for one row, for some, and for many.
    void compare_requests(const char * name, std::vector<int32_t> values, const Set & set, double share,
                          int32_t least_chunk, double least_margin = 0) {
        if (prefill_token_s(result_.settings) < 0) {
            return leave(name, k_impossible);
        }
        const int32_t n = streams();
        const int32_t n_together = n > 1 ? n : 0;
        const double decode_s = step_s_ + one_s_;
        const double parts_s = n > 1 ? part() * token_s_ : 0;
        const int32_t chunk = chunk_for(values.size(), share, n > 1 ? k_least_chunk : least_chunk, decode_s, decode_s + parts_s);
        if (chunk == 0 && n == 1) {
            return leave(name, k_no_time);
        }
        std::vector<Cost> costs = { [this, n](const Settings & settings) {
            const double all = rig_.decode(settings, n);
            const double one = n > 1 ? rig_.decode(settings, 1) : 0;
            return all < 0 || one < 0 ? -1.0 : k_answer * (all + one);
        } };
        if (n_together > 0) {
            costs.push_back(prefill_cost(part(), n_together * k_prompt));
        }
        if (chunk > 0) {
            costs.push_back(prefill_cost(chunk, k_prompt));
        }
        std::string unit = std::to_string(n_together + (chunk > 0)) + " requests of " + std::to_string(k_prompt) + " + " +
                           std::to_string(k_answer) + " tokens";
        compare(name, unit, { std::move(values), set, std::move(costs), decode_s + parts_s + chunk * token_s_, decode_s }, share,
                least_margin);
    }

    // False: it was not measured.
    bool compare(const char * name, const std::string & unit, const Race & race, double share, double least_margin = 0) {
        std::vector<Samples> seconds(race.values.size());
        if (!fits(static_cast<double>(race.values.size()) * (race.expected_first_s + k_min_rounds * race.expected_s))) {
            leave(name, k_no_time);
            return false;
        }
        const double stage_end_s = rig_.now() + share * left_s();
        double round_s = static_cast<double>(race.values.size()) * race.expected_s;
        for (int32_t round = -1; round < k_max_rounds; ++round) { // -1 is not counted
            const double now_s = rig_.now();
            if (round >= k_min_rounds && now_s + round_s > stage_end_s) {
                break;
            }
            if (round >= 0 && round < k_min_rounds && now_s + round_s > end_s_) {
                leave(name, k_no_time);
                return false;
            }
            for (size_t i = 0; i < race.values.size(); ++i) {
                Settings settings = result_.settings;
                race.set(settings, race.values[i]);
                const double cost = sum(race, settings, round < 0);
                if (cost < 0 && i == 0) {
                    leave(name, k_impossible);
                    return false;
                }
                if (cost >= 0 && round >= 0) {
                    seconds[i].add(cost);
                }
            }
            round_s = round < 0 ? round_s : rig_.now() - now_s;
        }
        Comparison comparison = { name, unit, race.values, std::move(seconds), 0 };
        comparison.chosen = choose(comparison.seconds,
                                   std::max(least_margin, margin_for(comparison.seconds[0].size(), rig_.is_busy())));
        race.set(result_.settings, race.values[comparison.chosen]);
        result_.comparisons.push_back(std::move(comparison));
        return true;
    }

    static double sum(const Race & race, const Settings & settings, bool first_only) {
        double sum = 0;
        for (const auto & cost : race.costs) {
            const double seconds = cost(settings);
            if (seconds < 0) {
                return -1;
            }
            sum += seconds;
            if (first_only) {
                break;
            }
        }
        return sum;
    }

    Cost decode_cost() {
        return [this, n = streams()](const Settings & settings) { return rig_.decode(settings, n); };
    }

    // Seconds of `n` tokens, by a chunk of them.
    Cost prefill_cost(int32_t chunk, int32_t n) {
        return [this, chunk, n](const Settings & settings) {
            const double seconds = rig_.prefill(settings, chunk);
            return seconds < 0 ? -1.0 : seconds * n / chunk;
        };
    }

    // -- time ---------------------------------------------------------------------------------------------------------

    double left_s() const { return end_s_ - rig_.now(); }
    bool fits(double seconds) const { return seconds <= left_s(); }

    double prefill_token_s(const Settings & settings) {
        if (token_s_ < 0) {
            const double seconds = rig_.prefill(settings, k_first_chunk);
            token_s_ = seconds / k_first_chunk;
        }
        return token_s_;
    }

    // What the planner lets a prompt compute in one step beside all streams. REQUIRES: the price of a token is known.
    int32_t part() const {
        const double n = StepBudget::spare_of(step_s_, step_s_) / token_s_;
        return static_cast<int32_t>(std::clamp(n, double(StepBudget::k_min_tokens), double(k_prompt)));
    }

    // The largest chunk that a good number of rounds can be had with, in this share of what is left, else the least if one
    // can, with some room; 0: none can. first_s, rest_s: what else a candidate takes, in the round that is not counted and in
    // each other.
    int32_t chunk_for(size_t n_candidates, double share, int32_t least, double first_s, double rest_s) const {
        const double time_s = share * left_s() / static_cast<double>(n_candidates) - first_s;
        for (const int32_t chunk : k_chunks) {
            if (chunk >= least && k_good_rounds * (rest_s + chunk * token_s_) <= time_s) {
                return chunk;
            }
        }
        return 1.5 * k_min_rounds * (rest_s + least * token_s_) <= time_s ? least : 0;
    }

    // -- what is not measured -----------------------------------------------------------------------------------------

    void leave(const char * name, const char * why) { result_.unmeasured.emplace_back(name, why); }

    void leave_all(const char * why) {
        const std::pair<const char *, bool> all[] = {
            { "flash_attention", open_.flash_attention }, { "n_threads", open_.n_threads },
            { "kv_unified", open_.kv_unified },           { "poll", open_.poll },
            { "n_threads_batch", open_.n_threads_batch }, { "n_ubatch", open_.n_ubatch },
        };
        for (const auto & [name, is_open] : all) {
            if (is_open) {
                leave(name, why);
            }
        }
    }

    int32_t streams() const { return rig_.n_streams(); }
    std::string steps_unit() const {
        return "a step of " + std::to_string(streams()) + (streams() == 1 ? " stream" : " streams");
    }

    const OpenSettings open_;
    Rig & rig_;
    const double start_s_;
    const double end_s_;
    double step_s_ = -1;  // of all streams, with the defaults
    double one_s_ = -1;   // of one
    double token_s_ = -1; // of a prompt, with the defaults; not known yet
    Tuning result_;
};

} // namespace

Tuning search(const Settings & standard, const OpenSettings & open, Rig & rig, double budget_s) {
    return Search(standard, open, rig, budget_s).run();
}

} // namespace la
