// Choices follow measurements: the search over a rig whose clock and steps are made up.
#include "testing/check.h"
#include "tune/search.h"

#include <algorithm>
#include <map>
#include <string>

using la::choose;
using la::OpenSettings;
using la::Rig;
using la::Samples;
using la::search;
using la::Settings;
using la::thread_candidates;
using la::Tuning;

namespace {

Samples samples(std::vector<double> seconds) {
    Samples all;
    for (const double s : seconds) {
        all.add(s);
    }
    return all;
}

// Time passes by what its steps cost and no more.
class FakeRig : public Rig {
  public:
    double now() const override { return now_s; }
    int32_t n_streams() const override { return streams; }
    int32_t depth() const override { return deep; }
    double decode(const Settings & settings, int32_t n) override {
        return spend(decode_s(settings, n), n == 1 && streams > 1 ? "decode 1" : "decode", settings);
    }
    double prefill(const Settings & settings, int32_t n) override {
        largest_chunk = std::max(largest_chunk, n);
        return spend(prefill_token_s(settings, n) * n, "prefill", settings);
    }
    double answer(const Settings & settings) override {
        const double s = spend(answer_s(settings) * k_answer_steps, "answer", settings);
        return s < 0 ? s : s / k_answer_steps;
    }
    void keep_only(const Settings &) override {}
    bool is_busy() const override { return busy; }

    double spend(double seconds, const std::string & what, const Settings & settings) {
        ++n_calls[what];
        flash_tried = flash_tried || settings.flash_attention == 0;
        if (stop_after_s >= 0 && now_s > stop_after_s) {
            throw la::MeasuringStopped("closed");
        }
        now_s += std::max(0.0, seconds);
        return seconds;
    }

    std::function<double(const Settings &, int32_t)> decode_s = [](const Settings &, int32_t) { return 0.01; };
    std::function<double(const Settings &, int32_t)> prefill_token_s = [](const Settings &, int32_t) { return 0.0005; };
    std::function<double(const Settings &)> answer_s = [](const Settings &) { return 0.01; };
    double now_s = 100;
    double stop_after_s = -1;
    int32_t streams = 4;
    int32_t deep = 512;
    bool busy = false;
    bool flash_tried = false;
    int32_t largest_chunk = 0;
    std::map<std::string, int> n_calls;
};

Settings standard() {
    Settings settings;
    settings.n_threads = settings.n_threads_batch = 8;
    return settings;
}

OpenSettings all_open() {
    return { true, true, true, true, true, true };
}

const la::Comparison * of(const Tuning & tuning, const std::string & name) {
    for (const auto & comparison : tuning.comparisons) {
        if (comparison.setting == name) {
            return &comparison;
        }
    }
    return nullptr;
}

std::string why_not(const Tuning & tuning, const std::string & name) {
    for (const auto & [setting, why] : tuning.unmeasured) {
        if (setting == name) {
            return why;
        }
    }
    return "";
}

bool equal(const Settings & a, const Settings & b) {
    return a.flash_attention == b.flash_attention && a.kv_unified == b.kv_unified && a.n_threads == b.n_threads &&
           a.n_threads_batch == b.n_threads_batch && a.n_ubatch == b.n_ubatch && a.poll == b.poll;
}

} // namespace

TEST(few_samples_must_say_more) {
    CHECK(la::margin_for(1, false) > la::margin_for(2, false) && la::margin_for(2, false) > la::margin_for(3, false));
    CHECK(la::margin_for(3, false) == 0.05 && la::margin_for(9, false) == 0.05);
    CHECK(la::margin_for(9, true) == 0.2 && la::margin_for(1, true) == 0.2);
}

TEST(another_than_the_default_must_win_clearly) {
    CHECK(choose({ samples({ 1.00, 1.02 }), samples({ 0.97, 0.98 }) }, 0.05) == 0);
    CHECK(choose({ samples({ 1.00, 1.02 }), samples({ 0.90, 0.91 }) }, 0.05) == 1);
    CHECK(choose({ samples({ 1.00, 1.02 }), samples({ 0.90, 0.91 }) }, 0.2) == 0);
}

TEST(one_lucky_sample_is_not_enough) {
    CHECK(choose({ samples({ 1.0, 1.0, 1.0 }), samples({ 0.5, 1.0, 1.1 }) }, 0.05) == 0);
    CHECK(choose({ samples({ 0.8, 1.2, 1.2 }), samples({ 0.9, 0.9, 0.9 }) }, 0.05) == 0);
}

TEST(of_several_winners_the_best_is_taken) {
    CHECK(choose({ samples({ 1, 1 }), samples({ 0.9, 0.9 }), samples({ 0.5, 0.5 }), samples({ 0.8, 0.8 }) }, 0.05) == 2);
}

TEST(what_has_no_samples_is_out) {
    CHECK(choose({ samples({ 1, 1 }), samples({}) }, 0.05) == 0);
    CHECK(choose({ samples({}), samples({ 1 }) }, 0.05) == 0);
    CHECK(choose({}, 0.05) == 0);
}

TEST(fewer_threads_are_tried_and_the_default_comes_first) {
    CHECK((thread_candidates(16) == std::vector<int32_t>{ 16, 12, 8, 4 }));
    CHECK((thread_candidates(2) == std::vector<int32_t>{ 2, 1 }));
    CHECK((thread_candidates(1) == std::vector<int32_t>{ 1 }));
}

TEST(equal_candidates_leave_everything_as_it_is) {
    FakeRig rig;
    const Tuning tuning = search(standard(), all_open(), rig, 100);
    CHECK(equal(tuning.settings, standard()));
    CHECK(tuning.stopped.empty() && tuning.unmeasured.empty());
    CHECK(tuning.comparisons.size() == 6);
    for (const auto & comparison : tuning.comparisons) {
        CHECK(comparison.chosen == 0 && comparison.seconds.size() == comparison.values.size());
        for (const auto & seconds : comparison.seconds) {
            CHECK(seconds.size() >= 3); // there was time
        }
    }
}

TEST(flash_attention_follows_decoding_and_prefill_together) {
    for (const double prefill_factor : { 1.0, 8.0 }) { // of prefill without it
        FakeRig rig;
        rig.decode_s = [](const Settings & s, int32_t) { return s.flash_attention == 0 ? 0.01 : 0.03; };
        rig.prefill_token_s = [&](const Settings & s, int32_t) { return 0.001 * (s.flash_attention == 0 ? prefill_factor : 1); };
        const Tuning tuning = search(standard(), all_open(), rig, 100);
        CHECK(of(tuning, "flash_attention") != nullptr);
        CHECK(tuning.settings.flash_attention == (prefill_factor > 1 ? -1 : 0));
    }
}

TEST(prompts_of_many_requests_are_computed_in_parts) {
    for (const int32_t streams : { 1, 4 }) {
        FakeRig rig;
        rig.streams = streams;
        rig.decode_s = [](const Settings &, int32_t) { return 0.02; };
        // Of the 8 tokens that a step takes beside others it is slower, of many faster.
        rig.prefill_token_s = [](const Settings & s, int32_t n) {
            return s.flash_attention == 0 ? 0.001 : n < 64 ? 0.003 : 0.0008;
        };
        const Tuning tuning = search(standard(), all_open(), rig, 100);
        CHECK(tuning.settings.flash_attention == (streams > 1 ? 0 : -1));
        const std::string unit = of(tuning, "flash_attention")->unit;
        CHECK(unit == (streams > 1 ? "5 requests of 256 + 128 tokens" : "1 requests of 256 + 128 tokens"));
    }
}

TEST(with_little_time_only_parts_are_measured) {
    FakeRig rig;
    rig.decode_s = [](const Settings & s, int32_t) { return s.flash_attention == 0 ? 0.06 : 0.08; };
    rig.prefill_token_s = [](const Settings &, int32_t) { return 0.006; };
    const Tuning tuning = search(standard(), all_open(), rig, 1.5);
    CHECK(of(tuning, "flash_attention") && of(tuning, "flash_attention")->unit == "4 requests of 256 + 128 tokens");
    CHECK(tuning.settings.flash_attention == 0 && rig.largest_chunk == 16);
}

TEST(without_time_for_prefill_decoding_must_say_more) {
    for (const double off_s : { 0.018, 0.012 }) {
        FakeRig rig;
        rig.decode_s = [&](const Settings & s, int32_t) { return s.flash_attention == 0 ? off_s : 0.02; };
        rig.prefill_token_s = [](const Settings &, int32_t) { return 0.05; };
        const Tuning tuning = search(standard(), all_open(), rig, 1.5);
        CHECK(of(tuning, "flash_attention") && rig.largest_chunk == 16);
        CHECK(tuning.settings.flash_attention == (off_s < 0.015 ? 0 : -1));
    }
}

TEST(threads_are_chosen_for_one_stream_and_for_all_apart) {
    FakeRig rig;
    rig.decode_s = [](const Settings & s, int32_t n) { return n == 1 ? 0.01 * s.n_threads : 0.1 / s.n_threads_batch; };
    rig.prefill_token_s = [](const Settings & s, int32_t) { return 0.001 / s.n_threads_batch; };
    const Tuning tuning = search(standard(), all_open(), rig, 100);
    CHECK(tuning.settings.n_threads == 2 && tuning.settings.n_threads_batch == 8);
}

TEST(the_layout_is_changed_only_where_prefill_agrees) {
    for (const bool agrees : { false, true }) {
        FakeRig rig;
        rig.decode_s = [](const Settings & s, int32_t) { return s.kv_unified ? 0.005 : 0.01; };
        rig.prefill_token_s = [&](const Settings & s, int32_t) { return s.kv_unified && !agrees ? 0.1 : 0.001; };
        const Tuning tuning = search(standard(), all_open(), rig, 1000);
        CHECK(tuning.settings.kv_unified == agrees);
        CHECK(of(tuning, "kv_unified") && of(tuning, "kv_unified")->chosen == (agrees ? 1 : 0));
    }
}

TEST(idle_threads_sleep_where_that_is_faster) {
    FakeRig rig;
    rig.answer_s = [](const Settings & s) { return s.poll == 0 ? 0.01 : 0.02; };
    CHECK(search(standard(), all_open(), rig, 100).settings.poll == 0);
}

TEST(a_smaller_graph_is_taken_where_it_is_faster) {
    FakeRig rig;
    rig.prefill_token_s = [](const Settings & s, int32_t) { return s.n_ubatch == 256 ? 0.0001 : 0.0002; };
    CHECK(search(standard(), all_open(), rig, 100).settings.n_ubatch == 256);
    CHECK(rig.largest_chunk == 512);
}

TEST(a_fixed_setting_is_neither_measured_nor_changed) {
    FakeRig rig;
    rig.decode_s = [](const Settings & s, int32_t) { return s.flash_attention == 0 ? 0.001 : 0.01 * s.n_threads; };
    rig.answer_s = [](const Settings & s) { return s.poll == 0 ? 0.001 : 0.02; };
    OpenSettings open;
    open.n_ubatch = true;
    const Tuning tuning = search(standard(), open, rig, 100);
    CHECK(equal(tuning.settings, standard()));
    CHECK(tuning.comparisons.size() == 1 && of(tuning, "n_ubatch"));
    CHECK(!rig.flash_tried && rig.n_calls["answer"] == 0);
}

TEST(the_budget_is_kept) {
    // What a step costs, from a small model's to a huge one's.
    for (const double step_s : { 1e-4, 0.002, 0.01, 0.03, 0.1, 0.3, 1.0, 30.0 }) {
        for (const double token_share : { 0.05, 0.3, 1.0 }) {
            FakeRig rig;
            rig.decode_s = [&](const Settings &, int32_t) { return step_s; };
            rig.prefill_token_s = [&](const Settings &, int32_t) { return token_share * step_s; };
            rig.answer_s = [&](const Settings &) { return step_s; };
            const double start_s = rig.now_s;
            const Tuning tuning = search(standard(), all_open(), rig, 1.5);
            const double first_s = 2 * step_s; // what a step costs must be found out
            CHECK(rig.now_s - start_s <= 1.5 * 1.15 + first_s + 16 * token_share * step_s);
            CHECK(std::abs(tuning.seconds - (rig.now_s - start_s)) < 1e-9);
            CHECK(tuning.comparisons.size() + tuning.unmeasured.size() == 6);
            CHECK(step_s < 1 || tuning.comparisons.empty());
        }
    }
}

TEST(a_model_whose_steps_take_longer_is_not_measured) {
    FakeRig rig;
    rig.decode_s = [](const Settings &, int32_t) { return 1.0; };
    const Tuning tuning = search(standard(), all_open(), rig, 1.5);
    CHECK(tuning.comparisons.empty() && why_not(tuning, "flash_attention") == "a step takes too long");
    CHECK(rig.n_calls["decode"] == 1 && rig.n_calls["decode 1"] == 1 && rig.n_calls["prefill"] == 0);
}

TEST(time_runs_out_on_the_least_important) {
    FakeRig rig;
    rig.decode_s = [](const Settings &, int32_t) { return 0.02; };
    rig.prefill_token_s = [](const Settings &, int32_t) { return 0.003; };
    const Tuning tuning = search(standard(), all_open(), rig, 1.5);
    CHECK(of(tuning, "flash_attention") && why_not(tuning, "n_ubatch") == "no time left");
}

TEST(what_a_model_cannot_is_left_out) {
    FakeRig rig;
    rig.deep = 0;
    Tuning tuning = search(standard(), all_open(), rig, 100);
    CHECK(!rig.flash_tried && !of(tuning, "flash_attention") && !of(tuning, "kv_unified") && of(tuning, "n_threads"));

    FakeRig none;
    none.decode_s = [](const Settings &, int32_t) { return -1; };
    tuning = search(standard(), all_open(), none, 100);
    CHECK(tuning.comparisons.empty() && tuning.unmeasured.size() == 6);

    FakeRig no_other; // no context without flash attention
    no_other.decode_s = [](const Settings & s, int32_t) { return s.flash_attention == 0 ? -1 : 0.01; };
    tuning = search(standard(), all_open(), no_other, 100);
    CHECK(tuning.settings.flash_attention == -1);
    CHECK(of(tuning, "flash_attention") && of(tuning, "flash_attention")->seconds[1].empty());
}

TEST(stopping_leaves_the_defaults) {
    for (double after_s = 0; after_s < 3; after_s += 0.1) {
        FakeRig rig;
        rig.decode_s = [](const Settings & s, int32_t) { return s.flash_attention == 0 ? 0.01 : 0.02; };
        rig.stop_after_s = rig.now_s + after_s;
        const Tuning tuning = search(standard(), all_open(), rig, 100);
        CHECK(tuning.stopped.empty() || (equal(tuning.settings, standard()) && tuning.comparisons.empty()));
        CHECK(after_s > 0.1 || tuning.stopped == "closed");
    }
}

TEST(on_a_busy_machine_more_is_asked_for) {
    for (const bool busy : { false, true }) {
        FakeRig rig;
        rig.busy = busy;
        rig.answer_s = [](const Settings & s) { return s.poll == 0 ? 0.0090 : 0.01; };
        const Tuning tuning = search(standard(), all_open(), rig, 100);
        CHECK(tuning.settings.poll == (busy ? 50 : 0) && tuning.busy == busy);
    }
}

TEST_MAIN
