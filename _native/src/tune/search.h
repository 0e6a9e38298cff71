// What is measured, in which order, and what follows from it. Pure: the clock and the steps are a rig's.
#pragma once

#include "tune/choice.h"
#include "tune/settings.h"

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace la {

// Thrown by a rig: no more is measured, and what is known is not to be kept.
struct MeasuringStopped : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Takes steps under any settings. What returns seconds returns less than 0 where these settings cannot be had.
class Rig {
  public:
    virtual ~Rig() = default;

    virtual double now() const = 0;
    // Streams of `decode`, and the tokens that each of them holds; a depth of 0: the cost of what lies behind a step cannot
    // be measured for this model.
    virtual int32_t n_streams() const = 0;
    virtual int32_t depth() const = 0;
    // A step in which n of the streams decode.
    virtual double decode(const Settings & settings, int32_t n) = 0;
    // A chunk of n tokens of one stream's prompt, at the depth.
    virtual double prefill(const Settings & settings, int32_t n) = 0;
    // k_answer_steps of one stream, with what happens between them: sampling, and an event loop that is woken.
    virtual double answer(const Settings & settings) = 0;
    static constexpr int32_t k_answer_steps = 4;
    // Frees what only other settings than these need.
    virtual void keep_only(const Settings & settings) = 0;
    // Whether others had the cores for part of the time.
    virtual bool is_busy() const = 0;
};

// One setting's candidates beside each other.
struct Comparison {
    std::string setting; // by its name in la_engine_params
    std::string unit;    // what the seconds are of
    std::vector<int32_t> values;
    std::vector<Samples> seconds; // of each value
    size_t chosen = 0;
};

struct Tuning {
    Settings settings; // what is to be used
    std::vector<Comparison> comparisons;
    std::vector<std::pair<std::string, std::string>> unmeasured; // settings that were open, and why
    std::string stopped; // why the measuring was broken off; then `settings` are the defaults
    bool busy = false;
    double seconds = 0;
    double budget_s = 0;
    int32_t n_streams = 0;
    int32_t depth = 0;
};

// REQUIRES: `standard` has the defaults, and what is fixed.
Tuning search(const Settings & standard, const OpenSettings & open, Rig & rig, double budget_s);

} // namespace la
