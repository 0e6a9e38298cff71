#include "tune/tune.h"

#include "engine/context.h"
#include "log/log_ring.h"
#include "tune/engine_rig.h"
#include "tune/search.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace la {

namespace {

using json = nlohmann::ordered_json;

constexpr double k_least_budget_s = 1.7;
constexpr double k_load_share = 0.5;

Settings standard_settings(const EngineConfig & config) {
    Settings settings;
    settings.flash_attention = config.raw.flash_attention;
    settings.kv_unified = config.raw.kv_unified != 0;
    settings.n_threads = config.raw.n_threads > 0 ? config.raw.n_threads : usable_cores();
    settings.n_threads_batch = config.raw.n_threads_batch > 0 ? config.raw.n_threads_batch : settings.n_threads;
    settings.n_ubatch = config.raw.n_ubatch;
    settings.poll = config.raw.poll;
    return settings;
}

OpenSettings open_settings(const Model & model, const EngineConfig & config) {
    OpenSettings open = config.open;
    // A unified cache has no small windows, and states that are not cells are not shared.
    open.kv_unified = open.kv_unified && model.n_swa() == 0 && !model.is_recurrent() && config.raw.n_parallel > 1;
    if (uses_device(config)) {
        const bool flash_attention = open.flash_attention;
        open = {};
        open.flash_attention = flash_attention;
    }
    return open;
}

json facts_of(const Samples & samples) {
    json facts = { { "n", samples.size() } };
    if (!samples.empty()) {
        facts["best_s"] = samples.best();
        facts["median_s"] = samples.median();
    }
    return facts;
}

json facts_of(const Tuning & tuning) {
    json measured = json::array();
    json chosen = json::object();
    for (const auto & comparison : tuning.comparisons) {
        json candidates = json::array();
        for (size_t i = 0; i < comparison.values.size(); ++i) {
            json candidate = { { "value", comparison.values[i] } };
            candidate.update(facts_of(comparison.seconds[i]));
            candidates.push_back(std::move(candidate));
        }
        const int32_t value = comparison.values[comparison.chosen];
        chosen[comparison.setting] = value;
        measured.push_back({ { "setting", comparison.setting },
                             { "seconds_of", comparison.unit },
                             { "candidates", std::move(candidates) },
                             { "chosen", value } });
    }
    // Left out, it would follow the number of the other threads.
    if (chosen.contains("n_threads") && !chosen.contains("n_threads_batch")) {
        chosen["n_threads_batch"] = tuning.settings.n_threads_batch;
    }
    json unmeasured = json::object();
    for (const auto & [setting, why] : tuning.unmeasured) {
        unmeasured[setting] = why;
    }
    return {
        { "chosen", std::move(chosen) },   { "measured", std::move(measured) }, { "unmeasured", std::move(unmeasured) },
        { "stopped", tuning.stopped },     { "busy", tuning.busy },             { "seconds", tuning.seconds },
        { "budget_s", tuning.budget_s },   { "n_streams", tuning.n_streams },   { "depth", tuning.depth },
    };
}

} // namespace

Tuned tune(const Model & model, const EngineConfig & config, double load_s, const std::atomic<bool> & closing) {
    Tuned tuned;
    tuned.settings = standard_settings(config);
    tuned.json = "{}";
    const double budget_s = config.raw.tune_s < 0 ? std::max(k_least_budget_s, k_load_share * load_s) : config.raw.tune_s;
    const OpenSettings open = open_settings(model, config);
    if (budget_s == 0 || !open.any() || llama_model_has_encoder(model.weights())) {
        return tuned;
    }
    EngineRig rig(model, config, context_shape(model, config), closing);
    const Tuning tuning = search(tuned.settings, open, rig, budget_s);
    tuned.settings = tuning.settings;
    tuned.has_checked = rig.has_checked();
    tuned.json = facts_of(tuning).dump();
    return tuned;
}

void apply(const Settings & settings, EngineConfig & config) {
    config.raw.flash_attention = settings.flash_attention;
    config.raw.kv_unified = settings.kv_unified ? 1 : 0;
    config.raw.n_threads = settings.n_threads;
    config.raw.n_threads_batch = settings.n_threads_batch;
    config.raw.n_ubatch = settings.n_ubatch;
    config.raw.poll = settings.poll;
}

} // namespace la
