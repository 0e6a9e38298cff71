// What top-k keeps of a shortlist is what it keeps of the whole row, whatever happens to the tokens that may move.
#include "sampling/rows.h"
#include "sampling/shortlist.h"
#include "testing/check.h"

#include <algorithm>
#include <random>

using namespace la;

namespace {

constexpr int32_t k_n_vocab = 3000;

common_params_sampling params_of(int32_t top_k) {
    common_params_sampling params;
    params.top_k = top_k;
    return params;
}

// The ids of the k best, ascending.
std::vector<llama_token> best_of(std::vector<llama_token_data> all, size_t k) {
    std::sort(all.begin(), all.end(), [](const auto & a, const auto & b) { return a.logit > b.logit; });
    std::vector<llama_token> ids;
    for (size_t i = 0; i < std::min(k, all.size()); ++i) {
        ids.push_back(all[i].id);
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

std::vector<float> random_row(std::mt19937 & random) {
    std::normal_distribution<float> values(0, 3);
    std::vector<float> row(k_n_vocab);
    std::generate(row.begin(), row.end(), [&] { return values(random); });
    return row;
}

} // namespace

TEST(the_largest_are_found_in_order) {
    std::mt19937 random(1);
    for (const int32_t n_top : { 0, 1, 2, 40, 200, k_n_vocab }) {
        const auto row = random_row(random);
        std::vector<int32_t> found;
        find_largest(row.data(), k_n_vocab, n_top, [](int32_t i) { return i % 3 != 0; }, found);
        std::vector<int32_t> expected;
        for (int32_t i = 0; i < k_n_vocab; ++i) {
            if (i % 3 != 0) {
                expected.push_back(i);
            }
        }
        std::sort(expected.begin(), expected.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
        expected.resize(std::min(expected.size(), static_cast<size_t>(n_top)));
        CHECK(found == expected);
    }
}

TEST(a_row_without_a_number_has_no_largest) {
    const std::vector<float> row(100, NAN);
    CHECK(argmax(row.data(), 100) == -1);
    CHECK(has_nan(row.data(), 100));
    CHECK(!has_nan(row.data(), 0));
    const std::vector<float> low(100, -INFINITY);
    CHECK(argmax(low.data(), 100) == -1);
}

TEST(top_k_keeps_the_same_of_the_list) {
    std::mt19937 random(2);
    for (int round = 0; round < 200; ++round) {
        auto params = params_of(1 + static_cast<int32_t>(random() % 50));
        const auto n_look_back = static_cast<int32_t>(random() % 30);
        std::vector<float> moves(k_n_vocab, 0.0F); // what biases, penalties and DRY come to
        const auto any_token = [&] { return static_cast<llama_token>(random() % k_n_vocab); };
        for (size_t i = random() % 5; i > 0; --i) {
            params.logit_bias.push_back({ any_token(), 0 });
            moves[params.logit_bias.back().token] = static_cast<float>(random() % 40) - 20;
        }
        Shortlist list(params, n_look_back, k_n_vocab);
        CHECK(list.applies());
        std::vector<llama_token> said;
        for (size_t i = random() % 80; i > 0; --i) {
            said.push_back(any_token());
            list.accept(said.back());
        }
        const auto row = random_row(random);
        for (size_t i = said.size() - std::min(said.size(), static_cast<size_t>(n_look_back)); i < said.size(); ++i) {
            moves[said[i]] = static_cast<float>(random() % 40) - 20;
        }
        std::vector<llama_token_data> all;
        for (llama_token token = 0; token < k_n_vocab; ++token) {
            all.push_back({ token, row[token] + moves[token], 0 });
        }
        std::vector<llama_token_data> listed;
        list.fill(row.data(), nullptr, listed);
        CHECK(listed.size() <= static_cast<size_t>(params.top_k + 2 * (n_look_back + 5)));
        for (auto & one : listed) {
            CHECK(one.logit == row[one.id]);
            one.logit += moves[one.id];
        }
        const auto k = static_cast<size_t>(params.top_k);
        CHECK(best_of(listed, k) == best_of(all, k));
    }
}

TEST(nothing_is_listed_that_is_not_admitted) {
    std::mt19937 random(3);
    const auto row = random_row(random);
    for (const size_t n_admitted : { 0, 3, 100, 2000 }) {
        std::vector<llama_token> tokens;
        for (size_t i = 0; i < n_admitted; ++i) {
            tokens.push_back(static_cast<llama_token>((i * 7) % k_n_vocab));
        }
        const Admitted admitted(tokens, k_n_vocab);
        Shortlist list(params_of(20), 8, k_n_vocab);
        for (llama_token token = 1; token < 9; ++token) {
            list.accept(token);
        }
        std::vector<llama_token_data> listed;
        list.fill(row.data(), &admitted, listed);
        std::vector<llama_token_data> all;
        admitted.each([&](llama_token token) { all.push_back({ token, row[token], 0 }); });
        for (const auto & one : listed) {
            CHECK(admitted.has(one.id));
        }
        CHECK(best_of(listed, 20) == best_of(all, 20));
    }
}

TEST(chains_that_look_at_everything_first_have_no_list) {
    const auto applies = [](const common_params_sampling & params) { return Shortlist(params, 0, 49152).applies(); };
    CHECK(applies(params_of(40)));
    CHECK(!applies(params_of(0)));
    CHECK(!applies(params_of(1000)));
    auto params = params_of(40);
    params.mirostat = 2;
    CHECK(!applies(params));
    params = params_of(40);
    params.top_n_sigma = 1;
    CHECK(!applies(params));
    params = params_of(40);
    params.samplers = { COMMON_SAMPLER_TYPE_TOP_P, COMMON_SAMPLER_TYPE_TOP_K };
    CHECK(!applies(params));
    params.top_p = 1;
    CHECK(applies(params));
    params.samplers = { COMMON_SAMPLER_TYPE_MIN_P, COMMON_SAMPLER_TYPE_TEMPERATURE };
    CHECK(!applies(params));
    params.samplers = {};
    CHECK(!applies(params));
    params = params_of(0);
    params.temp = 0;
    params.samplers = { COMMON_SAMPLER_TYPE_PENALTIES, COMMON_SAMPLER_TYPE_TEMPERATURE };
    CHECK(applies(params));
    CHECK(!Shortlist(params_of(40), 4096, 49152).applies());
}

TEST_MAIN
