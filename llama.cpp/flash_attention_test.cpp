// Flash attention as this build computes it, beside the definition of attention in doubles, over random shapes: heads in
// groups, tokens, streams, masks with holes and rows that see nothing, soft caps, sinks. Also what is left to upstream's.
#include "testing/check.h"

#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace {

struct Shape {
    int64_t d_k = 64;
    int64_t d_v = 64;
    int64_t group = 1; // heads that share a kv head
    int64_t n_kv_heads = 1;
    int64_t n_tokens = 1;
    int64_t n_streams = 1;
    int64_t n_kv = 64;
    bool has_mask = true;
    int64_t n_sequences = 0; // that share a stream's positions, each token being of one; 0: tokens see what they like
    bool has_sinks = false;
    float softcap = 0;
    float max_bias = 0;
    ggml_type type = GGML_TYPE_F16;
    int n_threads = 2;

    int64_t n_heads() const { return group * n_kv_heads; }
};

struct Free {
    void operator()(ggml_context * context) const { ggml_free(context); }
};

// Attention over random operands. `mask` holds 0 and -infinity, of some tokens nothing but that.
class Case {
  public:
    Case(const Shape & shape, std::mt19937 & random)
        : shape_(shape), context_(ggml_init({ size_t{ 64 } << 20, nullptr, false })) {
        ggml_context * c = context_.get();
        q_ = ggml_new_tensor_4d(c, GGML_TYPE_F32, shape.d_k, shape.n_tokens, shape.n_heads(), shape.n_streams);
        // In the cache the heads of a position lie beside each other.
        k_ = ggml_new_tensor_4d(c, shape.type, shape.d_k, shape.n_kv_heads, shape.n_kv, shape.n_streams);
        v_ = ggml_new_tensor_4d(c, shape.type, shape.d_v, shape.n_kv_heads, shape.n_kv, shape.n_streams);
        std::normal_distribution<float> values;
        for (ggml_tensor * tensor : { q_, k_, v_ }) {
            fill(tensor, [&] { return values(random); });
        }
        if (shape.has_mask) {
            mask_ = ggml_new_tensor_4d(c, GGML_TYPE_F16, shape.n_kv, shape.n_tokens, 1, shape.n_streams);
            std::vector<int64_t> owners(static_cast<size_t>(shape.n_kv));
            for (int64_t i = 0; shape.n_sequences > 0 && i < shape.n_kv; ++i) {
                // Prompts lie together, answers cell by cell.
                const int64_t owner = i < shape.n_kv / 2 ? 2 * i * shape.n_sequences / shape.n_kv : i % shape.n_sequences;
                owners[static_cast<size_t>(i)] = random() % 16 == 0 ? -1 : owner;
            }
            for (int64_t row = 0; row < ggml_nrows(mask_); ++row) {
                if (shape.n_sequences > 0) {
                    see_own(row, owners);
                    continue;
                }
                const auto begin = static_cast<int64_t>(random() % shape.n_kv);
                const auto end = static_cast<int64_t>(random() % (shape.n_kv + 1));
                auto * data = static_cast<ggml_fp16_t *>(mask_->data) + row * shape.n_kv;
                for (int64_t i = 0; i < shape.n_kv; ++i) {
                    const bool is_seen = i >= begin && i < end && random() % 8 != 0;
                    data[i] = ggml_fp32_to_fp16(is_seen ? 0.0F : -INFINITY);
                }
            }
        }
        if (shape.has_sinks) {
            sinks_ = ggml_new_tensor_1d(c, GGML_TYPE_F32, shape.n_heads());
            fill(sinks_, [&] { return 3 * values(random); });
        }
    }

    // Sets the mask: whether a token sees a position.
    template <typename Sees> void see(Sees sees) {
        auto * data = static_cast<ggml_fp16_t *>(mask_->data);
        for (int64_t row = 0; row < ggml_nrows(mask_); ++row) {
            for (int64_t i = 0; i < shape_.n_kv; ++i) {
                data[row * shape_.n_kv + i] = ggml_fp32_to_fp16(sees(row % shape_.n_tokens, i) ? 0.0F : -INFINITY);
            }
        }
    }

    // Makes the last token the only one of `other`, whose positions come to every other place.
    void take_last(const Case & other) {
        for (int64_t head = 0; head < shape_.n_heads(); ++head) {
            std::memcpy(place(q_, shape_.n_tokens - 1, head), place(other.q_, 0, head), q_->nb[1]);
        }
        for (int64_t i = 0; i < other.shape_.n_kv; ++i) {
            std::memcpy(place(k_, 0, 2 * i + 1), place(other.k_, 0, i), k_->nb[2]);
            std::memcpy(place(v_, 0, 2 * i + 1), place(other.v_, 0, i), v_->nb[2]);
        }
    }

    std::vector<float> computed() const {
        ggml_context * c = context_.get();
        ggml_tensor * result = ggml_flash_attn_ext(c, q_, ggml_permute(c, k_, 0, 2, 1, 3), ggml_permute(c, v_, 0, 2, 1, 3),
                                                   mask_, scale(), shape_.max_bias, shape_.softcap);
        ggml_flash_attn_ext_add_sinks(result, sinks_);
        ggml_cgraph * graph = ggml_new_graph(c);
        ggml_build_forward_expand(graph, result);
        CHECK(ggml_graph_compute_with_ctx(c, graph, shape_.n_threads) == GGML_STATUS_SUCCESS);
        const auto * data = static_cast<const float *>(result->data);
        return { data, data + ggml_nelements(result) };
    }

    std::vector<float> expected() const {
        std::vector<float> result;
        for (int64_t stream = 0; stream < shape_.n_streams; ++stream) {
            for (int64_t token = 0; token < shape_.n_tokens; ++token) {
                for (int64_t head = 0; head < shape_.n_heads(); ++head) {
                    const auto row = attend(stream, token, head);
                    result.insert(result.end(), row.begin(), row.end());
                }
            }
        }
        return result;
    }

  private:
    template <typename Next> static void fill(ggml_tensor * tensor, Next next) {
        std::vector<float> values(static_cast<size_t>(ggml_nelements(tensor)));
        std::generate(values.begin(), values.end(), next);
        ggml_quantize_chunk(tensor->type, values.data(), tensor->data, 0, ggml_nrows(tensor), tensor->ne[0], nullptr);
    }

    // The first half of the tokens are one each of the sequences, the rest are the last one's.
    void see_own(int64_t row, const std::vector<int64_t> & owners) {
        const int64_t token = row % shape_.n_tokens;
        const int64_t sequence = token < shape_.n_tokens / 2 ? token % shape_.n_sequences : shape_.n_sequences - 1;
        auto * data = static_cast<ggml_fp16_t *>(mask_->data) + row * shape_.n_kv;
        for (int64_t i = 0; i < shape_.n_kv; ++i) {
            const bool is_past = i < shape_.n_kv - shape_.n_tokens + token;
            data[i] = ggml_fp32_to_fp16(is_past && owners[static_cast<size_t>(i)] == sequence ? 0.0F : -INFINITY);
        }
    }

    static std::vector<float> row_of(const ggml_tensor * tensor, int64_t i1, int64_t i2, int64_t i3) {
        const char * data =
            static_cast<const char *>(tensor->data) + i1 * tensor->nb[1] + i2 * tensor->nb[2] + i3 * tensor->nb[3];
        std::vector<float> row(static_cast<size_t>(tensor->ne[0]));
        if (tensor->type == GGML_TYPE_F32) {
            std::copy_n(reinterpret_cast<const float *>(data), row.size(), row.data());
        } else {
            ggml_get_type_traits(tensor->type)->to_float(data, row.data(), tensor->ne[0]);
        }
        return row;
    }

    static char * place(const ggml_tensor * tensor, int64_t i1, int64_t i2) {
        return static_cast<char *>(tensor->data) + i1 * tensor->nb[1] + i2 * tensor->nb[2];
    }

    float scale() const { return 1.5F / std::sqrt(static_cast<float>(shape_.d_k)); }

    // As ALiBi has it, for a number of heads that is a power of two.
    double slope(int64_t head) const {
        return std::pow(2.0, -shape_.max_bias * static_cast<double>(head + 1) / static_cast<double>(shape_.n_heads()));
    }

    std::vector<float> attend(int64_t stream, int64_t token, int64_t head) const {
        const auto q = row_of(q_, token, head, stream);
        std::vector<double> scores(static_cast<size_t>(shape_.n_kv));
        double most = -INFINITY;
        for (int64_t i = 0; i < shape_.n_kv; ++i) {
            const auto k = row_of(k_, head / shape_.group, i, stream);
            double score = 0;
            for (size_t d = 0; d < q.size(); ++d) {
                score += static_cast<double>(q[d]) * k[d];
            }
            score *= scale();
            if (shape_.softcap != 0) {
                score = shape_.softcap * std::tanh(score / shape_.softcap);
            }
            if (mask_ != nullptr) {
                score += slope(head) * row_of(mask_, token, 0, stream)[static_cast<size_t>(i)];
            }
            scores[static_cast<size_t>(i)] = score;
            most = std::max(most, score);
        }
        double total = 0;
        if (sinks_ != nullptr) {
            const double sink = static_cast<const float *>(sinks_->data)[head];
            most = std::max(most, sink);
            total = std::exp(sink - most);
        }
        std::vector<double> sums(static_cast<size_t>(shape_.d_v));
        for (int64_t i = 0; i < shape_.n_kv && most != -INFINITY; ++i) {
            const double weight = std::exp(scores[static_cast<size_t>(i)] - most);
            total += weight;
            const auto v = row_of(v_, head / shape_.group, i, stream);
            for (size_t d = 0; d < sums.size(); ++d) {
                sums[d] += weight * v[d];
            }
        }
        std::vector<float> result(sums.size());
        std::transform(sums.begin(), sums.end(), result.begin(),
                       [&](double sum) { return total == 0 ? 0 : static_cast<float>(sum / total); });
        return result;
    }

    Shape shape_;
    std::unique_ptr<ggml_context, Free> context_;
    ggml_tensor * q_ = nullptr;
    ggml_tensor * k_ = nullptr;
    ggml_tensor * v_ = nullptr;
    ggml_tensor * mask_ = nullptr;
    ggml_tensor * sinks_ = nullptr;
};

double worst_difference(const std::vector<float> & a, const std::vector<float> & b) {
    CHECK(a.size() == b.size());
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        worst = std::isfinite(a[i]) ? std::max(worst, std::abs(static_cast<double>(a[i]) - b[i])) : INFINITY;
    }
    return worst;
}

double error_of(const Shape & shape, std::mt19937 & random) {
    const Case made(shape, random);
    return worst_difference(made.computed(), made.expected());
}

// Upstream sums in F16 and rounds queries to it: its error is hundreds of times ours.
constexpr double k_ours = 2e-5;
constexpr double k_upstream = 2e-2;

bool has_ours() {
    return ggml_cpu_has_avx2() && ggml_cpu_has_fma() && ggml_cpu_has_f16c();
}

} // namespace

TEST(attention_is_what_its_definition_says) {
    std::mt19937 random(1);
    const auto one_of = [&random](std::initializer_list<int64_t> values) { return values.begin()[random() % values.size()]; };
    for (int round = 0; round < 300; ++round) {
        Shape shape;
        shape.d_k = one_of({ 16, 48, 64, 80, 128, 192 });
        shape.d_v = one_of({ 16, 64, 80, 128 });
        shape.group = one_of({ 1, 3, 4, 7 });
        shape.n_kv_heads = one_of({ 1, 2, 3 });
        shape.n_tokens = one_of({ 1, 1, 2, 5, 23, 70 });
        shape.n_streams = one_of({ 1, 1, 2, 5 });
        shape.n_kv = one_of({ 16, 64, 80, 256, 272 });
        shape.has_mask = random() % 4 != 0;
        shape.n_sequences = one_of({ 0, 0, 1, 4, 9 });
        shape.has_sinks = random() % 4 == 0;
        shape.softcap = random() % 4 == 0 ? 2.0F : 0.0F;
        shape.n_threads = static_cast<int>(one_of({ 1, 2, 3 }));
        // Fewer rows are upstream's.
        const bool is_ours = shape.n_tokens * shape.n_heads() * shape.n_streams >= 2 * shape.n_threads && has_ours();
        CHECK(error_of(shape, random) < (is_ours ? k_ours : k_upstream));
    }
}

TEST(the_threads_do_not_change_an_answer) {
    Shape shape;
    shape.group = 3;
    shape.n_kv_heads = 3;
    shape.n_kv = 768;
    for (const int64_t n_tokens : { 1, 40, 200 }) {
        shape.n_tokens = n_tokens;
        shape.n_sequences = n_tokens == 40 ? 7 : 0;
        std::vector<std::vector<float>> answers;
        for (const int n_threads : { 1, 2, 4 }) {
            std::mt19937 random(2);
            shape.n_threads = n_threads;
            answers.push_back(Case(shape, random).computed());
        }
        if (has_ours()) {
            CHECK(answers[0] == answers[1] && answers[0] == answers[2]);
        }
    }
}

// What else is in the batch, and where in the cache it lies, does not change an answer.
TEST(neighbours_do_not_change_an_answer) {
    if (!has_ours()) {
        return;
    }
    Shape alone;
    alone.group = 3;
    alone.n_kv_heads = 3;
    alone.n_kv = 512;
    alone.n_tokens = 1;
    Shape beside = alone;
    beside.n_tokens = 12;
    beside.n_kv = 1024;
    std::mt19937 random(4);
    Case one(alone, random);
    Case all(beside, random);
    one.see([](int64_t, int64_t) { return true; });
    // Every other position is the last token's.
    all.see([](int64_t token, int64_t i) { return token == 11 ? i % 2 == 1 : i % 2 == 0 && i < 80 * token; });
    all.take_last(one);
    const auto expected = one.computed();
    const auto found = all.computed();
    CHECK(std::equal(expected.begin(), expected.end(), found.end() - static_cast<std::ptrdiff_t>(expected.size())));
}

TEST(other_types_and_biases_are_left_to_upstream) {
    std::mt19937 random(3);
    for (const ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
        for (const int64_t n_tokens : { 1, 20, 70 }) {
            Shape shape;
            shape.type = type;
            shape.max_bias = type == GGML_TYPE_F16 ? 8.0F : 0.0F;
            shape.n_kv_heads = 2;
            shape.group = 2;
            shape.n_kv = 528;
            shape.n_tokens = n_tokens;
            CHECK(error_of(shape, random) < k_upstream);
        }
    }
}

TEST_MAIN
