// Measuring a real model (LLAMA_ASYNC_TEST_MODEL): it comes to a depth, stays in its budget, ends when it is told to, and
// leaves fixed settings alone. Which values win is the machine's affair: search_test has that.
#include "tune/tune.h"

#include "base/clock.h"
#include "engine/compute_gate.h"
#include "engine/context.h"
#include "log/log_ring.h"
#include "testing/check.h"
#include "testing/engine_client.h"
#include "tune/engine_rig.h"

#include <nlohmann/json.hpp>

#include <thread>

using la::EngineConfig;
using la::EngineRig;
using la::Model;
using la::Settings;
using la::tune;

namespace {

using json = nlohmann::json;

la_engine_params params_of(double tune_s) {
    la_engine_params params;
    la_engine_params_init(&params);
    const char * path = std::getenv("LLAMA_ASYNC_TEST_MODEL");
    CHECK(path != nullptr);
    params.model_path = { path, path ? std::strlen(path) : 0 };
    params.n_ctx = 1024;
    params.tune_s = tune_s;
    return params;
}

// Loaded once.
const Model & model() {
    la::install_log();
    static const auto loaded = Model::load(EngineConfig(params_of(0)), [](float) { return true; });
    return *loaded;
}

Settings standard() {
    Settings settings;
    settings.n_threads = settings.n_threads_batch = la::usable_cores();
    return settings;
}

const std::atomic<bool> k_open{ false };

} // namespace

TEST(contexts_of_all_kinds_come_to_the_depth) {
    const EngineConfig config(params_of(1));
    EngineRig rig(model(), config, context_shape(model(), config), k_open);
    CHECK(rig.n_streams() == 4 && rig.depth() == 128);
    for (const int32_t flash_attention : { -1, 0 }) {
        for (const bool kv_unified : { false, true }) {
            Settings settings = standard();
            settings.flash_attention = flash_attention;
            settings.kv_unified = kv_unified;
            settings.n_ubatch = 128;
            CHECK(rig.decode(settings, 4) > 0 && rig.decode(settings, 1) > 0);
            CHECK(rig.prefill(settings, 64) > 0);
            CHECK(rig.prefill(settings, 300) > 0); // not all of the depth stays
            CHECK(rig.answer(settings) > 0);
            settings.n_threads = settings.n_threads_batch = 1;
            settings.poll = 0;
            CHECK(rig.decode(settings, 4) > 0 && rig.prefill(settings, 64) > 0);
            rig.keep_only(settings);
        }
    }
    CHECK(rig.depth() == 128 && rig.has_checked());
    CHECK(rig.prefill(standard(), 100000) < 0);
}

TEST(what_is_open_is_measured_or_a_reason_is_given) {
    for (const double budget_s : { 0.001, 1.0 }) {
        const EngineConfig config(params_of(budget_s));
        const auto tuned = tune(model(), config, 0, k_open);
        const json facts = json::parse(tuned.json);
        const size_t n = facts["measured"].size() + facts["unmeasured"].size();
        CHECK(facts["stopped"] == "" && facts["depth"] == 128 && facts["n_streams"] == 4);
        CHECK(n >= 3 && n <= 6); // on one core there is less to choose
        CHECK(facts["budget_s"] == budget_s);
        CHECK(budget_s > 0.01 || facts["chosen"].empty());
        CHECK(tuned.has_checked);
        for (const auto & comparison : facts["measured"]) {
            CHECK(facts["chosen"][comparison["setting"].get<std::string>()] == comparison["chosen"]);
        }
    }
}

TEST(fixed_settings_stay) {
    la_engine_params params = params_of(1);
    params.flash_attention = 1;
    params.kv_unified = 0;
    params.n_threads = 1;
    params.n_ubatch = 64;
    params.poll = 7;
    const EngineConfig config(params);
    const auto tuned = tune(model(), config, 0, k_open);
    CHECK(tuned.json == "{}" && !tuned.has_checked);
    EngineConfig used = config;
    apply(tuned.settings, used);
    CHECK(used.raw.flash_attention == 1 && used.raw.kv_unified == 0 && used.raw.n_threads == 1 && used.raw.n_ubatch == 64);
    CHECK(used.raw.poll == 7 && used.raw.n_threads_batch == 1);
}

TEST(flash_attention_is_not_open_where_the_cache_needs_it) {
    la_engine_params params = params_of(1);
    params.type_v = { "q8_0", 4 };
    CHECK(!EngineConfig(params).open.flash_attention);
    params.flash_attention = 0;
    params.type_v = { nullptr, 0 };
    CHECK(!EngineConfig(params).open.flash_attention);
}

TEST(closing_ends_it_within_a_step) {
    std::atomic<bool> closing{ false };
    const EngineConfig config(params_of(600));
    double closed_s = 0;
    std::thread closer([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50)); // somewhere in the middle
        closed_s = la::now_s();
        closing = true;
    });
    const auto tuned = tune(model(), config, 0, closing);
    const double ended_s = la::now_s();
    closer.join();
    CHECK(ended_s - closed_s < 5); // a context may just be made, and other programs compute
    CHECK(json::parse(tuned.json)["stopped"] == "closed");
    CHECK(tuned.settings.flash_attention == -1 && tuned.settings.n_threads == la::usable_cores());
}

TEST(others_who_compute_end_it) {
    std::atomic<bool> over{ false };
    const la::ComputeGate::Owner somebody;
    std::thread other([&] {
        while (!over) {
            const la::ComputeGate::Turn turn(somebody);
        }
    });
    const auto tuned = tune(model(), EngineConfig(params_of(600)), 0, k_open);
    over = true;
    other.join();
    const json facts = json::parse(tuned.json);
    CHECK(facts["stopped"].get<std::string>().find("another engine") == 0 && facts["chosen"].empty());
}

TEST(an_engine_measures_if_it_is_asked_to) {
    for (const double tune_s : { 0.0, 0.5 }) {
        la_engine_params params = params_of(tune_s);
        la_engine * engine = nullptr;
        CHECK(la_engine_open(&params, &engine) == LA_OK);
        const char * text = nullptr;
        CHECK(la_engine_tuning(engine, &text) == LA_ERR_NOT_READY || la_engine_tuning(engine, &text) == LA_OK);
        la_status status = LA_ERR_NOT_READY;
        const double end_s = la::now_s() + 300;
        while (status == LA_ERR_NOT_READY && la::now_s() < end_s) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            status = la_engine_tuning(engine, &text);
        }
        CHECK(status == LA_OK);
        const json facts = json::parse(text ? text : "null");
        CHECK(tune_s > 0 ? facts["budget_s"] == tune_s : facts == json::object());
        la_engine_free(engine);
    }
}

TEST_MAIN
