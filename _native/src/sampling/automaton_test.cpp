// Against upstream's own grammar, state by state and token by token, over a real vocabulary.
#include "base/error.h"
#include "log/log_ring.h"
#include "model/model.h"
#include "sampling/grammar_cache.h"
#include "sampling/sampler.h"
#include "testing/check.h"

#include "common.h"
#include "json-schema-to-grammar.h"

#include "../src/llama-grammar.h" // relative to common/, as upstream's own common includes it

#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace la;

namespace {

const std::vector<std::string> & grammars() {
    static const std::vector<std::string> all = {
        json_schema_to_grammar(common_json::parse(R"({"type": "object", "properties": {"name": {"type": "string"},
            "age": {"type": "integer"}, "kind": {"enum": ["one", "two", "öne"]}, "tags": {"type": "array",
            "items": {"type": "string", "maxLength": 5}}, "more": {"anyOf": [{"type": "null"}, {"type": "number"}]}},
            "required": ["name", "age", "kind"]})")),
        json_schema_to_grammar(common_json::parse(R"({"type": "object"})")),
        "root ::= \"a\"",
        "root ::= [a-zA-Z ]+ (\",\" [^0-9\\n]{2,7})* \".\"?",
        "root ::= (\"yes\" | \"no\" | \"yes, but\" | \"\") \" \"* [^a-z]*",
        "root ::= [äöü€☃😀-🙏]+ [^ -~]* .{3}",
        "root ::= a | b\na ::= \"x\" a \"y\" | \"x\" \"y\"\nb ::= \"x\" b | \"z\"",
        "root ::= (<|im_start|> [a-z]+ | !<|im_start|> [A-Z]*) \"!\" <[20]>?",
        "root ::= [^\\x00-\\x7F]+ | [0-9]{1,30}",
    };
    return all;
}

constexpr llama_token k_any = 100; // where the text decides

std::shared_ptr<Model> & model() {
    static std::shared_ptr<Model> loaded;
    return loaded;
}

using UpstreamGrammar = std::unique_ptr<llama_grammar, void (*)(llama_grammar *)>;

UpstreamGrammar upstream(const std::string & text) {
    return { llama_grammar_init_impl(model()->vocab(), text.c_str(), "root", false, nullptr, 0, nullptr, 0),
             llama_grammar_free_impl };
}

std::vector<bool> upstreams_mask(const llama_grammar & grammar) {
    std::vector<llama_token_data> data;
    for (llama_token token = 0; token < model()->n_vocab(); ++token) {
        data.push_back({ token, 0, 0 });
    }
    llama_token_data_array array = { data.data(), data.size(), -1, false };
    llama_grammar_apply_impl(grammar, &array);
    std::vector<bool> mask;
    for (const auto & one : data) {
        mask.push_back(one.logit == 0);
    }
    return mask;
}

// Where tokens stand in the middle of what characters spell, upstream's mask admits by number what its accept then refuses.
// Ours does not, nor does it let an answer end within a character.
bool has_tokens(const std::string & grammar) {
    return grammar.find('<') != std::string::npos;
}

bool upstream_accepts(const llama_grammar & grammar, llama_token token) {
    const UpstreamGrammar copy(llama_grammar_clone_impl(grammar), llama_grammar_free_impl);
    try {
        llama_grammar_accept_impl(*copy, token);
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

} // namespace

TEST(every_state_admits_what_upstream_admits) {
    GrammarCache cache;
    std::mt19937 random(7);
    int n_states = 0;
    for (const auto & text : grammars()) {
        const auto shared = cache.get(model()->vocab(), text);
        for (int walk = 0; walk < 3; ++walk) {
            auto theirs = upstream(text);
            Matcher ours(shared, {});
            Matcher single(shared, {}); // asks for tokens before the state is known
            for (int step = 0; step < 12; ++step) {
                const auto mask = upstreams_mask(*theirs);
                for (int i = 0; i < 50; ++i) {
                    const auto token = static_cast<llama_token>(random() % static_cast<unsigned>(model()->n_vocab()));
                    CHECK(single.admits(token) == mask[token] || has_tokens(text));
                }
                const auto & admitted = ours.admitted();
                std::vector<llama_token> choices;
                size_t n_wrong = 0;
                for (llama_token token = 0; token < model()->n_vocab(); ++token) {
                    const bool differs = admitted.has(token) != mask[token];
                    const bool meant = mask[token] && (model()->is_end(token) ? theirs->partial_utf8.n_remain > 0
                                                                              : !upstream_accepts(*theirs, token));
                    n_wrong += differs && !meant ? 1 : 0;
                    if (admitted.has(token) && !model()->is_end(token)) {
                        choices.push_back(token);
                    }
                }
                size_t n_visited = 0;
                llama_token last = -1;
                admitted.each([&](llama_token token) {
                    n_wrong += token > last && admitted.has(token) ? 0 : 1;
                    last = token;
                    ++n_visited;
                });
                CHECK(n_wrong == 0);
                CHECK(n_visited == admitted.size());
                ++n_states;
                if (choices.empty()) {
                    break;
                }
                // Long tokens close strings less often than short ones open them.
                llama_token token = choices[random() % choices.size()];
                for (int i = 0; i < 3 * (step % 3); ++i) {
                    const llama_token other = choices[random() % choices.size()];
                    token = shared->vocabulary->piece(other).size() < shared->vocabulary->piece(token).size() ? other : token;
                }
                CHECK(ours.accept(token));
                CHECK(single.accept(token));
                llama_grammar_accept_impl(*theirs, token);
            }
        }
    }
    CHECK(n_states > 100);
}

TEST(what_is_not_admitted_is_not_accepted) {
    GrammarCache cache;
    Matcher matcher(cache.get(model()->vocab(), "root ::= \"ab\""), {});
    CHECK(!matcher.accept(k_any, "b"));
    CHECK(matcher.accept(k_any, "a"));
    CHECK(!matcher.accept(k_any, "bc"));
    CHECK(matcher.accept(k_any, "b"));
    CHECK(!matcher.accept(k_any, "b"));
    CHECK(matcher.admitted().size() > 0); // the ends
    CHECK(model()->is_end(llama_vocab_eot(model()->vocab())) && matcher.accept(llama_vocab_eot(model()->vocab())));
}

TEST(half_a_character_waits_for_its_other_half) {
    GrammarCache cache;
    Matcher matcher(cache.get(model()->vocab(), "root ::= [ä-ö]"), {});
    CHECK(!matcher.accept(k_any, "\xa4"));
    CHECK(matcher.accept(k_any, "\xc3"));
    CHECK(matcher.admitted().size() > 0);
    CHECK(!matcher.accept(k_any, "a"));
    CHECK(!matcher.accept(k_any, "\xbc")); // ü is none of them
    CHECK(matcher.accept(k_any, "\xa4"));
}

TEST(a_full_automaton_is_replaced) {
    GrammarCache cache;
    const auto shared = cache.get(model()->vocab(), "root ::= \"(\" root \")\" | [a-z]{0,2000}");
    Matcher first(shared, {});
    Matcher second(shared, {});
    const auto tokens = common_tokenize(model()->vocab(), "(", false, false);
    CHECK(tokens.size() == 1);
    CHECK(first.accept(tokens[0]) && second.accept(tokens[0]));
    const auto before = shared->automaton;
    for (int i = 0; i < 20000 && shared->automaton == before; ++i) {
        first.admitted();
        CHECK(first.accept(tokens[0]));
    }
    CHECK(shared->automaton != before);
    CHECK(before->is_full());
    CHECK(!shared->automaton->is_full());
    CHECK(second.accept(k_any, "ab)") && !second.accept(k_any, ")") && second.admitted().size() > 0);
}

TEST(too_many_ways_are_an_error) {
    GrammarCache cache;
    Matcher matcher(cache.get(model()->vocab(), "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\""), {});
    bool refused = false;
    try {
        for (int i = 0; i < 30; ++i) {
            CHECK(matcher.accept(k_any, "a"));
        }
    } catch (const Error & e) {
        refused = e.status == LA_ERR_GRAMMAR;
    }
    CHECK(refused);
}

TEST(grammars_are_compiled_once) {
    GrammarCache cache;
    const auto first = cache.get(model()->vocab(), "root ::= \"a\"");
    CHECK(cache.get(model()->vocab(), "root ::= \"a\"") == first);
    for (size_t i = 0; i < GrammarCache::k_max_grammars; ++i) {
        CHECK(cache.get(model()->vocab(), "root ::= \"" + std::to_string(i) + "\"") != first);
    }
    CHECK(cache.get(model()->vocab(), "root ::= \"a\"") != first);
    bool refused = false;
    try {
        cache.get(model()->vocab(), "root ::= nothing");
    } catch (const Error & e) {
        refused = e.status == LA_ERR_GRAMMAR && e.param == "grammar";
    }
    CHECK(refused);
}

// -- the whole sampler ------------------------------------------------------------------------------------------------

namespace {

struct Case {
    const char * name;
    void (*set)(la_sampling &);
};

const Case k_cases[] = {
    { "defaults", [](la_sampling &) {} },
    { "greedy", [](la_sampling & s) { s.temperature = 0; } },
    { "greedy with penalties", [](la_sampling & s) { s.temperature = 0; s.repeat_penalty = 1.3F; } },
    { "whole vocabulary", [](la_sampling & s) { s.top_k = 0; s.top_p = 1; s.min_p = 0; s.temperature = 1.5F; } },
    { "narrow", [](la_sampling & s) { s.top_k = 5; s.top_p = 0.5F; s.min_keep = 2; } },
    { "penalties", [](la_sampling & s) { s.repeat_penalty = 1.4F; s.frequency_penalty = 0.6F; s.presence_penalty = 0.7F; } },
    { "rewards", [](la_sampling & s) { s.repeat_penalty = 0.5F; s.frequency_penalty = -0.9F; s.penalty_last_n = 6; } },
    { "dry", [](la_sampling & s) { s.dry_multiplier = 2; s.dry_allowed_length = 1; s.dry_penalty_last_n = 16; } },
    { "nucleus alone", [](la_sampling & s) { s.top_k = 0; s.top_p = 0.9F; } },
    { "typical", [](la_sampling & s) { s.typical_p = 0.7F; s.dynatemp_range = 0.5F; } },
    { "mirostat", [](la_sampling & s) { s.mirostat = 2; } },
    { "xtc", [](la_sampling & s) { s.xtc_probability = 0.5F; s.top_n_sigma = 2; } },
};

} // namespace

// Token for token, with the same seed: upstream's chain with the grammar in it, and ours with the grammar beside it.
TEST(the_sampler_chooses_what_upstreams_chooses) {
    auto params = llama_context_default_params();
    params.n_ctx = params.n_batch = 32;
    params.n_threads = params.n_threads_batch = 1;
    const std::unique_ptr<llama_context, void (*)(llama_context *)> context(
        llama_init_from_model(model()->weights(), params), llama_free);
    llama_token first = 1;
    CHECK(llama_decode(context.get(), llama_batch_get_one(&first, 1)) == 0);
    float * row = llama_get_logits_ith(context.get(), -1);
    GrammarCache cache;
    int n_tokens = 0;
    for (const auto & test : k_cases) {
        for (size_t g = 0; g <= grammars().size(); ++g) {
            const bool is_free = g == grammars().size();
            const std::string text = is_free ? "" : grammars()[g];
            if (has_tokens(text)) {
                continue; // upstream's fails sooner or later
            }
            la_sampling raw;
            init_sampling(raw);
            raw.seed = static_cast<uint32_t>(g);
            test.set(raw);
            const SamplingSpec spec(raw);
            Constraint constraint;
            constraint.grammar.text = text;
            Sampler ours(*model(), spec, constraint, is_free ? nullptr : cache.get(model()->vocab(), text), 0, 32);

            common_params_sampling p;
            p.no_perf = true;
            p.seed = raw.seed;
            p.top_k = raw.top_k;
            p.top_p = raw.top_p;
            p.min_p = raw.min_p;
            p.min_keep = raw.min_keep;
            p.typ_p = raw.typical_p;
            p.temp = raw.temperature;
            p.dynatemp_range = raw.dynatemp_range;
            p.penalty_repeat = raw.repeat_penalty;
            p.penalty_freq = raw.frequency_penalty;
            p.penalty_present = raw.presence_penalty;
            p.penalty_last_n = std::min(raw.penalty_last_n, 32);
            p.dry_multiplier = raw.dry_multiplier;
            p.dry_allowed_length = raw.dry_allowed_length;
            p.dry_penalty_last_n = raw.dry_penalty_last_n < 0 ? 32 : std::min(raw.dry_penalty_last_n, 32);
            p.mirostat = raw.mirostat;
            p.xtc_probability = raw.xtc_probability;
            p.xtc_threshold = raw.xtc_threshold;
            p.top_n_sigma = raw.top_n_sigma;
            if (!is_free) {
                p.grammar = { COMMON_GRAMMAR_TYPE_USER, text };
            }
            const common_sampler_ptr theirs(common_sampler_init(model()->weights(), p));

            std::mt19937 random(static_cast<unsigned>(g));
            std::normal_distribution<float> noise(0, 3);
            for (int step = 0; step < (is_free ? 40 : 12); ++step) {
                for (int32_t i = 0; i < model()->n_vocab(); ++i) {
                    const size_t n_bytes = model()->piece(i).size();
                    row[i] = noise(random) + (n_bytes > 0 && n_bytes < 3 ? 6.0F : 0.0F); // else nothing ever closes
                }
                const llama_token expected = common_sampler_sample(theirs.get(), context.get(), -1);
                const std::vector<float> before(row, row + model()->n_vocab());
                const llama_token token = ours.sample(row);
                CHECK(std::equal(before.begin(), before.end(), row));
                if (token != expected) {
                    std::printf("%s, grammar %zu, step %d: %d, upstream %d\n", test.name, g, step, token, expected);
                }
                CHECK(token == expected);
                if (token != expected || model()->is_end(token)) {
                    break;
                }
                common_sampler_accept(theirs.get(), token, true);
                ++n_tokens;
            }
        }
    }
    CHECK(n_tokens > 300);
}

int main(int argc, char ** argv) {
    const char * path = std::getenv("LLAMA_ASYNC_TEST_MODEL");
    if (!path || !*path) {
        std::printf("skipped: LLAMA_ASYNC_TEST_MODEL is not set\n");
        return 77;
    }
    install_log();
    la_engine_params params;
    la_engine_params_init(&params);
    params.model_path = { path, std::strlen(path) };
    model() = Model::load(EngineConfig(params), [](float) { return true; });
    const int result = la::testing::run_all(argc > 1 ? argv[1] : nullptr);
    model().reset();
    return result;
}
