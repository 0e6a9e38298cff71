#include "sampling/sampler.h"

#include "base/error.h"
#include "model/model.h"
#include "sampling/grammar_limits.h"
#include "sampling/rows.h"

#include "common.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace la {

void init_sampling(la_sampling & s) {
    const common_params_sampling d;
    s = {};
    s.struct_size = sizeof(s);
    s.seed = LA_SEED_RANDOM;
    s.top_k = d.top_k;
    s.min_keep = d.min_keep;
    s.temperature = d.temp;
    s.dynatemp_range = d.dynatemp_range;
    s.dynatemp_exponent = d.dynatemp_exponent;
    s.top_p = d.top_p;
    s.min_p = d.min_p;
    s.typical_p = d.typ_p;
    s.top_n_sigma = d.top_n_sigma;
    s.xtc_probability = d.xtc_probability;
    s.xtc_threshold = d.xtc_threshold;
    s.penalty_last_n = d.penalty_last_n;
    s.repeat_penalty = d.penalty_repeat;
    s.frequency_penalty = d.penalty_freq;
    s.presence_penalty = d.penalty_present;
    s.dry_multiplier = d.dry_multiplier;
    s.dry_base = d.dry_base;
    s.dry_allowed_length = d.dry_allowed_length;
    s.dry_penalty_last_n = d.dry_penalty_last_n;
    s.mirostat = d.mirostat;
    s.mirostat_tau = d.mirostat_tau;
    s.mirostat_eta = d.mirostat_eta;
    s.adaptive_target = d.adaptive_target;
    s.adaptive_decay = d.adaptive_decay;
    s.top_logprobs = -1;
}

namespace {

std::string shown(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%g", value);
    return text;
}

// NaN fails every range.
void require(bool ok, const char * param, double value, const char * limits) {
    if (!ok) {
        throw Error(LA_ERR_INVALID, std::string(param) + " is " + shown(value) + ", must be " + limits, param);
    }
}

} // namespace

// One entry a token: of several upstream applies the first alone where the candidates are not the whole vocabulary.
static void add_up(std::vector<llama_logit_bias> & biases) {
    std::stable_sort(biases.begin(), biases.end(), [](const auto & a, const auto & b) { return a.token < b.token; });
    size_t n = 0;
    for (const auto & bias : biases) {
        if (n > 0 && biases[n - 1].token == bias.token) {
            biases[n - 1].bias += bias.bias;
        } else {
            biases[n++] = bias;
        }
    }
    biases.resize(n);
}

SamplingSpec::SamplingSpec(const la_sampling & s) : raw(s) {
    require(std::isfinite(s.temperature) && s.temperature <= 100, "temperature", s.temperature, "finite, at most 100");
    require(std::isfinite(s.dynatemp_range) && s.dynatemp_range >= 0, "dynatemp_range", s.dynatemp_range, "at least 0");
    require(std::isfinite(s.dynatemp_exponent), "dynatemp_exponent", s.dynatemp_exponent, "finite");
    require(s.top_p >= 0 && s.top_p <= 1, "top_p", s.top_p, "between 0 and 1");
    require(s.min_p >= 0 && s.min_p <= 1, "min_p", s.min_p, "between 0 and 1");
    require(s.typical_p > 0 && s.typical_p <= 1, "typical_p", s.typical_p, "above 0 and at most 1");
    require(std::isfinite(s.top_n_sigma), "top_n_sigma", s.top_n_sigma, "finite");
    require(s.xtc_probability >= 0 && s.xtc_probability <= 1, "xtc_probability", s.xtc_probability,
            "between 0 and 1");
    require(s.xtc_threshold >= 0 && s.xtc_threshold <= 1, "xtc_threshold", s.xtc_threshold, "between 0 and 1");
    require(s.min_keep >= 0, "min_keep", s.min_keep, "at least 0");
    require(s.penalty_last_n >= -1, "repeat_last_n", s.penalty_last_n, "at least -1");
    require(std::isfinite(s.repeat_penalty) && s.repeat_penalty > 0 && std::isfinite(1 / s.repeat_penalty),
            "repeat_penalty", s.repeat_penalty, "finite and above 0");
    require(std::isfinite(s.frequency_penalty), "frequency_penalty", s.frequency_penalty, "finite");
    require(std::isfinite(s.presence_penalty), "presence_penalty", s.presence_penalty, "finite");
    require(std::isfinite(s.dry_multiplier) && s.dry_multiplier >= 0, "dry_multiplier", s.dry_multiplier, "at least 0");
    require(std::isfinite(s.dry_base) && s.dry_base >= 0, "dry_base", s.dry_base, "at least 0");
    require(s.dry_allowed_length >= 0, "dry_allowed_length", s.dry_allowed_length, "at least 0");
    require(s.dry_penalty_last_n >= -1, "dry_penalty_last_n", s.dry_penalty_last_n, "at least -1");
    require(s.mirostat >= 0 && s.mirostat <= 2, "mirostat", s.mirostat, "0, 1 or 2");
    require(std::isfinite(s.mirostat_tau) && s.mirostat_tau >= 0, "mirostat_tau", s.mirostat_tau, "at least 0");
    require(std::isfinite(s.mirostat_eta) && s.mirostat_eta >= 0, "mirostat_eta", s.mirostat_eta, "at least 0");
    require(std::isfinite(s.adaptive_target) && s.adaptive_target <= 1, "adaptive_target", s.adaptive_target,
            "at most 1");
    require(s.adaptive_decay >= 0 && s.adaptive_decay <= 0.99f, "adaptive_decay", s.adaptive_decay,
            "between 0 and 0.99");
    require(s.top_logprobs >= -1 && s.top_logprobs <= LA_MAX_TOP_LOGPROBS, "top_logprobs", s.top_logprobs,
            "between 0 and 20");
    for (size_t i = 0; i < s.n_logit_bias; ++i) {
        require(!std::isnan(s.logit_bias[i].bias) && s.logit_bias[i].bias < INFINITY, "logit_bias",
                s.logit_bias[i].bias, "a number below infinity");
        logit_bias.push_back(s.logit_bias[i]);
    }
    for (size_t i = 0; i < s.n_dry_breakers; ++i) {
        dry_breakers.emplace_back(s.dry_breakers[i].data, s.dry_breakers[i].size);
    }
    for (size_t i = 0; i < s.n_samplers; ++i) {
        const std::string name(s.samplers[i].data, s.samplers[i].size);
        const auto found = common_sampler_types_from_names({ name });
        if (found.empty()) {
            throw Error(LA_ERR_INVALID, "samplers names an unknown sampler: " + name, "samplers");
        }
        samplers.push_back(found.front());
    }
    if (s.grammar.size > 0) {
        grammar.assign(s.grammar.data, s.grammar.size);
        check_grammar_limits(grammar);
    }
}

Sampler::Sampler(const Model & model, const SamplingSpec & spec, const Constraint & constraint, SharedGrammarPtr grammar,
                 int32_t choice, int32_t n_ctx)
    : n_vocab_(model.n_vocab()) {
    const la_sampling & s = spec.raw;
    common_params_sampling p;
    p.no_perf = true;
    p.seed = s.seed == LA_SEED_RANDOM ? LLAMA_DEFAULT_SEED : s.seed + static_cast<uint32_t>(choice);
    p.top_k = s.top_k;
    p.min_keep = s.min_keep;
    p.temp = s.temperature;
    p.dynatemp_range = s.dynatemp_range;
    p.dynatemp_exponent = s.dynatemp_exponent;
    p.top_p = s.top_p;
    p.min_p = s.min_p;
    p.typ_p = s.typical_p;
    p.top_n_sigma = s.top_n_sigma;
    p.xtc_probability = s.xtc_probability;
    p.xtc_threshold = s.xtc_threshold;
    p.penalty_last_n = s.penalty_last_n < 0 ? n_ctx : std::min(s.penalty_last_n, n_ctx);
    p.penalty_repeat = s.repeat_penalty;
    p.penalty_freq = s.frequency_penalty;
    p.penalty_present = s.presence_penalty;
    p.dry_multiplier = s.dry_multiplier;
    p.dry_base = s.dry_base;
    p.dry_allowed_length = s.dry_allowed_length;
    p.dry_penalty_last_n = s.dry_penalty_last_n < 0 ? n_ctx : std::min(s.dry_penalty_last_n, n_ctx);
    p.mirostat = s.mirostat;
    p.mirostat_tau = s.mirostat_tau;
    p.mirostat_eta = s.mirostat_eta;
    p.adaptive_target = s.adaptive_target;
    p.adaptive_decay = s.adaptive_decay;
    p.ignore_eos = s.ignore_eos != 0;
    if (!spec.dry_breakers.empty()) {
        p.dry_sequence_breakers = spec.dry_breakers;
    }
    if (!spec.samplers.empty()) {
        p.samplers = spec.samplers;
    } else if (s.adaptive_target >= 0) {
        p.samplers.push_back(COMMON_SAMPLER_TYPE_ADAPTIVE_P);
    }
    for (const auto & bias : spec.logit_bias) {
        if (bias.token < 0 || bias.token >= n_vocab_) {
            throw Error(LA_ERR_INVALID,
                        "logit_bias names token " + std::to_string(bias.token) + ", the vocabulary has 0.." +
                            std::to_string(n_vocab_ - 1),
                        "logit_bias");
        }
        p.logit_bias.push_back({ bias.token, bias.bias });
    }
    if (p.ignore_eos) {
        for (llama_token token = 0; token < n_vocab_; ++token) {
            if (model.is_end(token)) {
                p.logit_bias.push_back({ token, -INFINITY });
            }
        }
    }
    int32_t n_suppressed = 0; // by the model itself; upstream's chain does the same
    const llama_token * suppressed = llama_vocab_get_suppress_tokens(model.vocab(), &n_suppressed);
    for (int32_t i = 0; i < n_suppressed; ++i) {
        p.logit_bias.push_back({ suppressed[i], -INFINITY });
    }
    add_up(p.logit_bias);
    const bool infill = std::find(p.samplers.begin(), p.samplers.end(), COMMON_SAMPLER_TYPE_INFILL) != p.samplers.end();
    if (infill && llama_vocab_eot(model.vocab()) < 0 && llama_vocab_eos(model.vocab()) < 0) {
        throw Error(LA_ERR_INVALID, "samplers has infill, but the model has no end-of-turn token", "samplers");
    }
    if (grammar) {
        gate_ = std::make_unique<Gate>(model.vocab(), std::move(grammar), constraint);
    }

    const bool penalties = p.penalty_last_n != 0 && (p.penalty_repeat != 1 || p.penalty_freq != 0 || p.penalty_present != 0);
    const bool dry = p.dry_multiplier != 0 && p.dry_penalty_last_n != 0;
    n_look_back_ = std::max(penalties ? p.penalty_last_n : 0, dry ? p.dry_penalty_last_n : 0);
    // At temperature 0 the chain ends in the maximum, whatever top-k, top-p and min-p cut off below it.
    greedy_ = p.temp <= 0 && p.dynatemp_range == 0 && p.mirostat == 0 && !penalties && !dry &&
              p.xtc_probability == 0 && p.typ_p == 1 && p.adaptive_target < 0 && spec.samplers.empty();
    if (greedy_) {
        biases_ = p.logit_bias;
        return;
    }
    if (p.temp <= 0 && p.dynatemp_range == 0 && spec.samplers.empty()) {
        const auto keeps_the_maximum = [](common_sampler_type type) {
            return type == COMMON_SAMPLER_TYPE_TOP_K || type == COMMON_SAMPLER_TYPE_TOP_P ||
                   type == COMMON_SAMPLER_TYPE_MIN_P || type == COMMON_SAMPLER_TYPE_TOP_N_SIGMA;
        };
        p.samplers.erase(std::remove_if(p.samplers.begin(), p.samplers.end(), keeps_the_maximum), p.samplers.end());
    }
    // The other samplers look at how many candidates there are, or make something of a probability of nothing.
    leaves_out_ = p.dynatemp_range == 0 && p.mirostat == 0 && p.typ_p == 1 && p.top_n_sigma <= 0 && p.xtc_probability == 0 &&
                  p.adaptive_target < 0 && spec.samplers.empty();
    chain_.reset(common_sampler_init(model.weights(), p));
    const Shortlist shortlist(p, n_look_back_, n_vocab_);
    if (shortlist.applies()) {
        shortlist_ = shortlist;
    }
}

// The likeliest of them; below 0 when none has a finite logit.
static llama_token best_admitted(const float * row, const Admitted & admitted) {
    llama_token best = -1;
    float highest = -INFINITY;
    admitted.each([&](llama_token token) {
        if (row[token] > highest) {
            highest = row[token];
            best = token;
        }
    });
    return std::isfinite(highest) ? best : -1;
}

void Sampler::accept(llama_token token) {
    if (gate_) {
        gate_->accept(token);
    }
    if (chain_) {
        accept_by_chain(token);
    }
}

void Sampler::accept_by_chain(llama_token token) {
    common_sampler_accept(chain_.get(), token, false);
    if (shortlist_) {
        shortlist_->accept(token);
    }
}

[[noreturn]] static void throw_not_finite() {
    throw Error(LA_ERR_INTERNAL, "the model produced no finite logits: a corrupt file or a numerical fault");
}

[[noreturn]] static void throw_all_forbidden() {
    throw Error(LA_ERR_INVALID, "no token is left to choose: logit_bias, ignore_eos and grammar forbid every one",
                "logit_bias");
}

void Sampler::throw_no_choice(const float * row) const {
    if (argmax(row, n_vocab_) < 0) {
        throw_not_finite();
    }
    throw_all_forbidden();
}

void Sampler::accept_prompt(const std::vector<llama_token> & prompt) {
    if (greedy_) {
        return;
    }
    const size_t n = std::min(prompt.size(), static_cast<size_t>(n_look_back_));
    for (size_t i = prompt.size() - n; i < prompt.size(); ++i) {
        accept_by_chain(prompt[i]);
    }
}

llama_token Sampler::sample(float * row) {
    const llama_token token = greedy_ ? sample_greedily(row) : sample_by_chain(row);
    accept(token);
    return token;
}

llama_token Sampler::sample_greedily(float * row) {
    // In place and back again: a copy of the vocabulary costs twenty times the search. The row must stay the model's
    // own, since log probabilities are read from it.
    saved_.clear();
    for (const auto & bias : biases_) {
        saved_.emplace_back(bias.token, row[bias.token]);
        row[bias.token] += bias.bias;
    }
    const llama_token token = best_of(row);
    for (size_t i = saved_.size(); i-- > 0;) { // backwards: a token may have several
        row[saved_[i].first] = saved_[i].second;
    }
    if (token < 0) {
        throw_no_choice(row);
    }
    return token;
}

// The likeliest that is let through; below 0 if none. What it takes out of the row on the way goes into saved_.
llama_token Sampler::best_of(float * row) {
    llama_token token = argmax(row, n_vocab_);
    if (!gate_ || !gate_->is_closed()) {
        return token;
    }
    // The next best is mostly right, and a few more looks at the row cost less than finding out about all tokens.
    constexpr int k_max_tries = 4;
    for (int i = 0; token >= 0 && !gate_->admits(token); ++i) {
        if (i == k_max_tries || gate_->known()) {
            return best_admitted(row, gate_->admitted());
        }
        saved_.emplace_back(token, row[token]);
        row[token] = -INFINITY;
        token = argmax(row, n_vocab_);
    }
    return token;
}

llama_token Sampler::sample_by_chain(const float * row) {
    if (has_nan(row, n_vocab_)) {
        throw_not_finite(); // before upstream sorts by it
    }
    // As upstream: what is chosen freely is mostly admitted, and only if not, it is chosen again from what is. That is
    // not quite the same as choosing from what is admitted at once, since top-k and top-p cut off at other places.
    llama_token token = choose(row, nullptr);
    if (gate_ && gate_->is_closed() && (token < 0 || !gate_->admits(token))) {
        token = choose(row, &gate_->admitted());
    }
    if (token < 0) {
        throw_all_forbidden();
    }
    return token;
}

// By the chain. Below 0 if nothing is left to choose.
llama_token Sampler::choose(const float * row, const Admitted * admitted) {
    candidates_.clear();
    if (shortlist_ && (!admitted || leaves_out_)) {
        shortlist_->fill(row, admitted, candidates_);
    } else if (admitted && leaves_out_) {
        admitted->each([&](llama_token token) { candidates_.push_back({ token, row[token], 0 }); });
    } else {
        for (llama_token token = 0; token < n_vocab_; ++token) {
            candidates_.push_back({ token, !admitted || admitted->has(token) ? row[token] : -INFINITY, 0 });
        }
    }
    if (candidates_.empty()) {
        return -1;
    }
    llama_token_data_array array = { candidates_.data(), candidates_.size(), -1, false };
    llama_sampler_apply(common_sampler_get(chain_.get()), &array);
    const auto selected = static_cast<size_t>(array.selected);
    const bool found = array.selected >= 0 && selected < array.size && array.data[selected].logit > -INFINITY;
    return found ? array.data[selected].id : -1;
}

static void append_entry(const Model & model, llama_token token, double logprob, uint32_t n_top, std::string & out) {
    // A control token has no text; its name tells the reader more than nothing.
    const char * name = model.piece(token).empty() ? llama_vocab_get_text(model.vocab(), token) : nullptr;
    const std::string_view bytes = name ? std::string_view(name) : std::string_view(model.piece(token));
    const la_logprob entry = { token, static_cast<float>(logprob), static_cast<uint32_t>(bytes.size()), n_top };
    out.append(reinterpret_cast<const char *>(&entry), sizeof(entry));
    out.append(bytes);
}

void append_unscored(const Model & model, llama_token token, std::string & out) {
    append_entry(model, token, std::numeric_limits<double>::quiet_NaN(), 0, out);
}

void append_logprobs(const Model & model, const float * row, llama_token token, int32_t n_top, std::string & out) {
    const int32_t n = model.n_vocab();
    const float highest = largest_value(row, n);
    double sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        sum += std::exp(row[i] - highest);
    }
    const double log_sum = highest + std::log(sum);
    if (!std::isfinite(log_sum)) {
        throw_not_finite();
    }
    n_top = std::min(n_top, n);
    append_entry(model, token, row[token] - log_sum, static_cast<uint32_t>(n_top), out);
    if (n_top == 0) {
        return;
    }
    std::vector<int32_t> best;
    find_largest(row, n, n_top, [](int32_t) { return true; }, best);
    for (const llama_token other : best) {
        append_entry(model, other, row[other] - log_sum, 0, out);
    }
}

} // namespace la
