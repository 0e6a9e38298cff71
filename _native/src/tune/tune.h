// Measuring at load: what is left open, within a budget, and the account of it.
#pragma once

#include "model/model.h"
#include "tune/settings.h"

#include <atomic>
#include <string>

namespace la {

struct Tuned {
    Settings settings;
    std::string json;         // of la_engine_tuning
    bool has_checked = false; // the model has computed a token on one thread
};

// Blocks for about config.raw.tune_s seconds, or not at all. When `closing` turns true it
// returns within a step. REQUIRES: the model has its weights. `load_s`: what loading took so far.
Tuned tune(const Model & model, const EngineConfig & config, double load_s, const std::atomic<bool> & closing);

// Puts the settings into the fields of la_engine_params.
void apply(const Settings & settings, EngineConfig & config);

} // namespace la
