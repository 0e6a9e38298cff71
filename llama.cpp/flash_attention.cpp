// Flash attention on x86 over caches of F16, compiled into ggml-cpu in place of upstream's (flash_attention_rename.h).
//
// Upstream walks through the cache once for each query row, one position after the other, as long as a sequence brings
// fewer than 64 rows: all of decoding, and prompts in parts. With AVX512-FP16 the steps of its sums are longer than a
// head of 64, which it then adds up without SIMD. Here the rows of a sequence form tiles. A block of keys and values is
// converted once for all rows of a tile that read it (the heads of a group, the tokens), and both products are small
// matrix products in F32. Figures in docs/design.md.
//
// Whatever has another shape or type goes to upstream's.

#include "common.h"
#include "ggml-cpu-impl.h"
#include "ops.h"
#include "vec.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

extern "C" void la_upstream_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define LA_FLASH_ATTENTION 512
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define LA_FLASH_ATTENTION 256
#endif

#ifdef LA_FLASH_ATTENTION

namespace {

constexpr int64_t k_tile_rows = GGML_FA_TILE_Q; // the plan's work buffer has room for such tiles
constexpr int64_t k_block = GGML_FA_TILE_KV;    // positions whose keys and values are converted at once

// -- registers ---------------------------------------------------------------------------------------------------

#if LA_FLASH_ATTENTION == 512

using Lanes = __m512;
constexpr int k_lanes = 16;
constexpr int k_product_rows = 4; // 4 x 4 sums, 4 columns and a factor, of 32 registers
constexpr int k_product_lanes = 4;

Lanes load(const float * p) { return _mm512_loadu_ps(p); }
Lanes load_f16(const ggml_fp16_t * p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p))); }
void store(float * p, Lanes x) { _mm512_storeu_ps(p, x); }
Lanes all(float x) { return _mm512_set1_ps(x); }
Lanes add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
Lanes subtract(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
Lanes multiply(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
Lanes greater(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
float sum(Lanes x) { return _mm512_reduce_add_ps(x); }
float greatest(Lanes x) { return _mm512_reduce_max_ps(x); }

void transpose(Lanes (&x)[k_lanes]) {
    Lanes y[k_lanes];
    for (int i = 0; i < 16; i += 2) { // pairs of floats of two rows
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) { // fours of four rows: x[i + j] has columns j, j + 4, j + 8, j + 12
        for (int j = 0; j < 2; ++j) {
            const __m512d a = _mm512_castps_pd(y[i + j]);
            const __m512d b = _mm512_castps_pd(y[i + j + 2]);
            x[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            x[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    for (int j = 0; j < 4; ++j) { // sixteens: quarters of the registers change places
        const Lanes a = _mm512_shuffle_f32x4(x[j], x[j + 4], 0x88);
        const Lanes b = _mm512_shuffle_f32x4(x[j], x[j + 4], 0xdd);
        const Lanes c = _mm512_shuffle_f32x4(x[j + 8], x[j + 12], 0x88);
        const Lanes d = _mm512_shuffle_f32x4(x[j + 8], x[j + 12], 0xdd);
        y[j] = _mm512_shuffle_f32x4(a, c, 0x88);
        y[j + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        y[j + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        y[j + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
    std::copy(y, y + k_lanes, x);
}

#else

using Lanes = __m256;
constexpr int k_lanes = 8;
constexpr int k_product_rows = 6; // 6 x 2 sums, 2 columns and a factor, of 16 registers
constexpr int k_product_lanes = 2;

Lanes load(const float * p) { return _mm256_loadu_ps(p); }
Lanes load_f16(const ggml_fp16_t * p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p))); }
void store(float * p, Lanes x) { _mm256_storeu_ps(p, x); }
Lanes all(float x) { return _mm256_set1_ps(x); }
Lanes add(Lanes a, Lanes b) { return _mm256_add_ps(a, b); }
Lanes subtract(Lanes a, Lanes b) { return _mm256_sub_ps(a, b); }
Lanes multiply(Lanes a, Lanes b) { return _mm256_mul_ps(a, b); }
Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
Lanes greater(Lanes a, Lanes b) { return _mm256_max_ps(a, b); }

float sum(Lanes x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

float greatest(Lanes x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

void transpose(Lanes (&x)[k_lanes]) {
    Lanes y[k_lanes];
    for (int i = 0; i < 8; i += 2) { // pairs of floats of two rows
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) { // fours of four rows: x[i + j] has columns j and j + 4
        for (int j = 0; j < 2; ++j) {
            const __m256d a = _mm256_castps_pd(y[i + j]);
            const __m256d b = _mm256_castps_pd(y[i + j + 2]);
            x[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            x[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    }
    for (int j = 0; j < 4; ++j) { // halves of the registers change places
        y[j] = _mm256_permute2f128_ps(x[j], x[j + 4], 0x20);
        y[j + 4] = _mm256_permute2f128_ps(x[j], x[j + 4], 0x31);
    }
    std::copy(y, y + k_lanes, x);
}

#endif

// -- products ----------------------------------------------------------------------------------------------------

// A dense matrix by rows; `stride` is in floats.
struct Matrix {
    float * data;
    int64_t stride;

    float * row(int64_t i) const { return data + i * stride; }
};

// N_ROWS rows and N_LANES registers of columns of `c` += `a` x `b`, of which `n` columns and rows are multiplied.
template <int N_ROWS, int N_LANES>
void add_product_part(Matrix c, Matrix a, Matrix b, int64_t n) {
    Lanes sums[N_ROWS][N_LANES];
    for (int i = 0; i < N_ROWS; ++i) {
        for (int j = 0; j < N_LANES; ++j) {
            sums[i][j] = load(c.row(i) + j * k_lanes);
        }
    }
    for (int64_t k = 0; k < n; ++k) {
        Lanes columns[N_LANES];
        for (int j = 0; j < N_LANES; ++j) {
            columns[j] = load(b.row(k) + j * k_lanes);
        }
        for (int i = 0; i < N_ROWS; ++i) {
            const Lanes factor = all(a.row(i)[k]);
            for (int j = 0; j < N_LANES; ++j) {
                sums[i][j] = multiply_add(factor, columns[j], sums[i][j]);
            }
        }
    }
    for (int i = 0; i < N_ROWS; ++i) {
        for (int j = 0; j < N_LANES; ++j) {
            store(c.row(i) + j * k_lanes, sums[i][j]);
        }
    }
}

template <int N_ROWS> void add_product_rows(Matrix c, Matrix a, Matrix b, int64_t n, int64_t n_columns) {
    int64_t column = 0;
    const auto at = [&column](Matrix m) { return Matrix{m.data + column, m.stride}; };
    for (; column + k_product_lanes * k_lanes <= n_columns; column += k_product_lanes * k_lanes) {
        add_product_part<N_ROWS, k_product_lanes>(at(c), a, at(b), n);
    }
    for (; column < n_columns; column += k_lanes) {
        add_product_part<N_ROWS, 1>(at(c), a, at(b), n);
    }
}

template <int N_ROWS> void add_product_rest(Matrix c, Matrix a, Matrix b, int64_t n_rows, int64_t n, int64_t n_columns) {
    if constexpr (N_ROWS > 0) {
        if (n_rows == N_ROWS) {
            add_product_rows<N_ROWS>(c, a, b, n, n_columns);
        } else {
            add_product_rest<N_ROWS - 1>(c, a, b, n_rows, n, n_columns);
        }
    }
}

// c[n_rows x n_columns] += a[n_rows x n] x b[n x n_columns]; columns come in whole registers.
void add_product(Matrix c, Matrix a, Matrix b, int64_t n_rows, int64_t n, int64_t n_columns) {
    int64_t row = 0;
    for (; row + k_product_rows <= n_rows; row += k_product_rows) {
        add_product_rows<k_product_rows>({c.row(row), c.stride}, {a.row(row), a.stride}, b, n, n_columns);
    }
    add_product_rest<k_product_rows - 1>({c.row(row), c.stride}, {a.row(row), a.stride}, b, n_rows - row, n, n_columns);
}

// -- attention ---------------------------------------------------------------------------------------------------

struct Range {
    int64_t begin;
    int64_t end; // not in it
};

// One node of the graph. Sequences have a stream each; the heads of a group read the same keys and values.
class Attention {
  public:
    explicit Attention(ggml_tensor * dst)
        : dst_(dst), q_(dst->src[0]), k_(dst->src[1]), v_(dst->src[2]), mask_(dst->src[3]), sinks_(dst->src[4]),
          n_tokens_(q_->ne[1]), group_(q_->ne[2] / std::max<int64_t>(k_->ne[2], 1)), d_k_(k_->ne[0]), d_v_(v_->ne[0]),
          n_kv_(k_->ne[1]) {
        const auto * options = reinterpret_cast<const float *>(dst->op_params);
        scale_ = options[0];
        max_bias_ = options[1];
        softcap_ = options[2];
        if (softcap_ != 0.0f) {
            scale_ /= softcap_;
        }
    }

    bool is_ours() const {
        const bool types = q_->type == GGML_TYPE_F32 && k_->type == GGML_TYPE_F16 && v_->type == GGML_TYPE_F16;
        const bool shapes = d_k_ % 16 == 0 && d_v_ % 16 == 0 && n_kv_ % 16 == 0 && q_->ne[2] % k_->ne[2] == 0 &&
                            v_->ne[2] == k_->ne[2] && k_->ne[3] == q_->ne[3] && v_->ne[3] == q_->ne[3];
        const bool rows = q_->nb[0] == sizeof(float) && k_->nb[0] == sizeof(ggml_fp16_t) &&
                          v_->nb[0] == sizeof(ggml_fp16_t);
        const bool mask = mask_ == nullptr || (mask_->type == GGML_TYPE_F16 && mask_->ne[2] == 1 && max_bias_ == 0.0f);
        return types && shapes && rows && mask;
    }

    // Rows of a stream: those of a kv head lie together, token by token, of each the heads of the group.
    int64_t n_stream_rows() const { return k_->ne[2] * n_head_rows(); }
    int64_t n_streams() const { return k_->ne[3]; }

    int64_t scratch_floats() const { return k_tile_rows * (d_k_ + d_v_ + k_block) + k_block * (d_k_ + d_v_); }

    // Up to k_tile_rows rows of a stream, from `first` on. Positions are walked through once for all of them, since those of
    // several kv heads lie side by side in the cache.
    void compute_tile(int64_t stream, int64_t first, int64_t n_rows, float * scratch) const {
        const Matrix queries = {scratch, d_k_};
        const Matrix weights = {queries.row(k_tile_rows), k_block};
        const Matrix sums = {weights.row(k_tile_rows), d_v_};
        const Matrix keys = {sums.row(k_tile_rows), k_block}; // transposed
        const Matrix values = {keys.row(d_k_), d_v_};
        float highest[k_tile_rows];
        float totals[k_tile_rows] = {};
        std::fill_n(highest, k_tile_rows, -INFINITY);
        std::fill_n(sums.data, n_rows * d_v_, 0.0f);

        const int64_t first_head = first / n_head_rows();
        const int64_t last_head = (first + n_rows - 1) / n_head_rows();
        // Those of the tile's rows that belong to a kv head.
        const auto rows_of = [&](int64_t kv_head) {
            return Range{std::max<int64_t>(kv_head * n_head_rows() - first, 0),
                         std::min((kv_head + 1) * n_head_rows() - first, n_rows)};
        };
        const Range tokens = first_head == last_head ? Range{token(first), token(first + n_rows - 1) + 1} : Range{0, n_tokens_};
        for (int64_t row = 0; row < n_rows; ++row) {
            const auto * from = reinterpret_cast<const float *>(at(q_, token(first + row), head(first + row), stream));
            for (int64_t i = 0; i < d_k_; i += k_lanes) {
                store(queries.row(row) + i, multiply(load(from + i), all(scale_)));
            }
        }
        for (int64_t begin = 0; begin < n_kv_; begin += k_block) {
            const Range seen = visible(begin, tokens, stream);
            const int64_t n = seen.end - seen.begin;
            if (n == 0) {
                continue;
            }
            fetch(v_, d_v_, first_head, last_head, stream, seen);
            for (int64_t kv_head = first_head; kv_head <= last_head; ++kv_head) {
                const Range rows = rows_of(kv_head);
                pack_keys(keys, kv_head, stream, seen);
                for (int64_t row = rows.begin; row < rows.end; ++row) {
                    std::fill_n(weights.row(row), n, 0.0f);
                }
                add_product({weights.row(rows.begin), k_block}, {queries.row(rows.begin), d_k_}, keys, rows.end - rows.begin,
                            d_k_, n);
                for (int64_t row = rows.begin; row < rows.end; ++row) {
                    weigh(weights.row(row), mask_row(token(first + row), stream, seen.begin), n, highest[row], totals[row],
                          sums.row(row));
                }
            }
            if (begin + k_block < n_kv_) {
                fetch(k_, d_k_, first_head, last_head, stream, {begin + k_block, std::min(begin + 2 * k_block, n_kv_)});
            }
            for (int64_t kv_head = first_head; kv_head <= last_head; ++kv_head) {
                const Range rows = rows_of(kv_head);
                pack_values(values, kv_head, stream, seen);
                add_product({sums.row(rows.begin), d_v_}, {weights.row(rows.begin), k_block}, values, rows.end - rows.begin, n,
                            d_v_);
            }
        }
        for (int64_t row = 0; row < n_rows; ++row) {
            const int64_t i_head = head(first + row);
            if (sinks_ != nullptr) {
                sink(static_cast<const float *>(sinks_->data)[i_head], highest[row], totals[row], sums.row(row));
            }
            const Lanes share = all(totals[row] == 0.0f ? 0.0f : 1.0f / totals[row]);
            auto * to = reinterpret_cast<float *>(at(dst_, i_head, token(first + row), stream));
            for (int64_t i = 0; i < d_v_; i += k_lanes) {
                store(to + i, multiply(load(sums.row(row) + i), share));
            }
        }
    }

  private:
    static char * at(const ggml_tensor * tensor, int64_t i1, int64_t i2, int64_t i3) {
        return static_cast<char *>(tensor->data) + i1 * tensor->nb[1] + i2 * tensor->nb[2] + i3 * tensor->nb[3];
    }

    int64_t n_head_rows() const { return n_tokens_ * group_; }
    int64_t token(int64_t row) const { return row % n_head_rows() / group_; }
    int64_t head(int64_t row) const { return row / n_head_rows() * group_ + row % group_; }

    const ggml_fp16_t * mask_row(int64_t token, int64_t stream, int64_t position) const {
        if (mask_ == nullptr) {
            return nullptr;
        }
        return reinterpret_cast<const ggml_fp16_t *>(at(mask_, token, 0, stream % mask_->ne[3])) + position;
    }

    // What of the block at `begin` some of the tokens see, in whole registers.
    Range visible(int64_t begin, Range tokens, int64_t stream) const {
        const int64_t end = std::min(begin + k_block, n_kv_);
        if (mask_ == nullptr) {
            return {begin, end};
        }
        Range seen = {end, begin};
        for (int64_t token = tokens.begin; token < tokens.end; ++token) {
            const ggml_fp16_t * mask = mask_row(token, stream, 0);
            for (int64_t i = begin; i < end; i += k_lanes) {
                if ((i < seen.begin || i >= seen.end) && greatest(load_f16(mask + i)) != -INFINITY) {
                    seen = {std::min(seen.begin, i), std::max(seen.end, i + k_lanes)};
                }
            }
        }
        return seen.begin < seen.end ? seen : Range{begin, begin};
    }

    // Has keys or values brought near while something else is computed.
    static void fetch(const ggml_tensor * from, int64_t d, int64_t first_head, int64_t last_head, int64_t stream, Range range) {
        for (int64_t i = range.begin; i < range.end; ++i) {
            for (int64_t kv_head = first_head; kv_head <= last_head; ++kv_head) {
                const char * row = at(from, i, kv_head, stream);
                for (int64_t j = 0; j < d * static_cast<int64_t>(sizeof(ggml_fp16_t)); j += 64) {
                    _mm_prefetch(row + j, _MM_HINT_T0);
                }
            }
        }
    }

    void pack_keys(Matrix keys, int64_t kv_head, int64_t stream, Range seen) const {
        for (int64_t i = seen.begin; i < seen.end; i += k_lanes) {
            for (int64_t d = 0; d < d_k_; d += k_lanes) {
                Lanes square[k_lanes];
                for (int j = 0; j < k_lanes; ++j) {
                    square[j] = load_f16(reinterpret_cast<const ggml_fp16_t *>(at(k_, i + j, kv_head, stream)) + d);
                }
                transpose(square);
                for (int j = 0; j < k_lanes; ++j) {
                    store(keys.row(d + j) + i - seen.begin, square[j]);
                }
            }
        }
    }

    void pack_values(Matrix values, int64_t kv_head, int64_t stream, Range seen) const {
        for (int64_t i = seen.begin; i < seen.end; ++i) {
            const auto * from = reinterpret_cast<const ggml_fp16_t *>(at(v_, i, kv_head, stream));
            for (int64_t d = 0; d < d_v_; d += k_lanes) {
                store(values.row(i - seen.begin) + d, load_f16(from + d));
            }
        }
    }

    // Makes weights of a row's `n` scores. What was summed before is brought to the new highest score.
    void weigh(float * scores, const ggml_fp16_t * mask, int64_t n, float & highest, float & total, float * sums) const {
        Lanes most = all(-INFINITY);
        for (int64_t i = 0; i < n; i += k_lanes) {
            if (softcap_ != 0.0f) {
                for (int64_t j = i; j < i + k_lanes; ++j) {
                    scores[j] = softcap_ * std::tanh(scores[j]);
                }
            }
            const Lanes score = mask ? add(load(scores + i), load_f16(mask + i)) : load(scores + i);
            store(scores + i, score);
            most = greater(most, score);
        }
        const float before = highest;
        highest = std::max(before, greatest(most));
        if (highest == -INFINITY) {
            std::fill_n(scores, n, 0.0f);
            return;
        }
        if (highest > before) {
            rescale(std::exp(before - highest), total, sums);
        }
        Lanes weight_sum = all(0.0f);
        for (int64_t i = 0; i < n; i += k_lanes) {
            const Lanes weight = ggml_v_expf(subtract(load(scores + i), all(highest)));
            store(scores + i, weight);
            weight_sum = add(weight_sum, weight);
        }
        total += sum(weight_sum);
    }

    // A score that takes part in the total and has no value.
    void sink(float score, float highest, float & total, float * sums) const {
        if (score > highest) {
            rescale(std::exp(highest - score), total, sums);
            total += 1.0f;
        } else {
            total += std::exp(score - highest);
        }
    }

    void rescale(float factor, float & total, float * sums) const {
        total *= factor;
        for (int64_t i = 0; i < d_v_; i += k_lanes) {
            store(sums + i, multiply(load(sums + i), all(factor)));
        }
    }

    ggml_tensor * dst_;
    const ggml_tensor * q_;     // [d_k, tokens, heads, streams]
    const ggml_tensor * k_;     // [d_k, positions, kv heads, streams]
    const ggml_tensor * v_;     // [d_v, positions, kv heads, streams]
    const ggml_tensor * mask_;  // [positions, tokens, 1, streams]
    const ggml_tensor * sinks_; // [heads]
    int64_t n_tokens_;
    int64_t group_; // heads that share a kv head
    int64_t d_k_;
    int64_t d_v_;
    int64_t n_kv_;
    float scale_;
    float max_bias_;
    float softcap_;
};

} // namespace

void ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    const Attention attention(dst);
    const int64_t n_stream_rows = attention.n_stream_rows();
    const int64_t n_rows = n_stream_rows * attention.n_streams();
    const int64_t n_threads = params->nth;
    // With few rows for many threads upstream's way of splitting the positions among them is faster.
    if (params->use_ref || !attention.is_ours() || n_rows < 2 * n_threads) {
        la_upstream_flash_attn_ext(params, dst);
        return;
    }
    float * scratch = static_cast<float *>(params->wdata) +
                      params->ith * (attention.scratch_floats() + static_cast<int64_t>(CACHE_LINE_SIZE_F32));

    const int64_t n_stream_tiles = (n_stream_rows + k_tile_rows - 1) / k_tile_rows;
    const int64_t n_tiles = n_stream_tiles * attention.n_streams();
    if (n_tiles < 4 * n_threads) {
        // Equal shares, for which threads need not wait for each other.
        const int64_t end = n_rows * (params->ith + 1) / n_threads;
        for (int64_t row = n_rows * params->ith / n_threads; row < end;) {
            const int64_t first = row % n_stream_rows;
            const int64_t n = std::min({k_tile_rows, n_stream_rows - first, end - row});
            attention.compute_tile(row / n_stream_rows, first, n, scratch);
            row += n;
        }
        return;
    }
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (int64_t tile = params->ith; tile < n_tiles; tile = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t first = tile % n_stream_tiles * k_tile_rows;
        attention.compute_tile(tile / n_stream_tiles, first, std::min(k_tile_rows, n_stream_rows - first), scratch);
    }
}

#else

void ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    la_upstream_flash_attn_ext(params, dst);
}

#endif
