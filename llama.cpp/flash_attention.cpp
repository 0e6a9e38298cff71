// Flash attention on x86 over caches of F16, compiled into ggml-cpu in place of upstream's (flash_attention_rename.h).
//
// Upstream walks through the cache once for each query row, one position after the other, as long as a sequence brings
// fewer than 64 rows: all of decoding, and prompts in parts. With AVX512-FP16 the steps of its sums are longer than a
// head of 64, which it then adds up without SIMD. Here the rows of tokens that see the same form tiles. A block of keys and
// values is converted once for all rows of a tile that read it (the heads of a group, the tokens), and both products are
// small matrix products in F32. Blocks are made of what the tokens see, wherever it lies: sequences may share one cache,
// cell by cell. Figures in docs/design.md.
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

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define LA_FLASH_ATTENTION 512
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define LA_FLASH_ATTENTION 256
#endif

#ifdef LA_FLASH_ATTENTION

namespace {

constexpr int64_t k_tile_rows = GGML_FA_TILE_Q; // the plan's work buffer has room for such tiles
constexpr int64_t k_block = GGML_FA_TILE_KV;    // positions whose keys and values are converted at once
constexpr int64_t k_most_groups = 1024;
constexpr int16_t k_hidden = static_cast<int16_t>(0xfc00); // what a mask has where a token sees nothing: -infinity

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

// Of 64 values of a mask: which are not -infinity.
uint64_t seen_of(const ggml_fp16_t * mask) {
    const __m512i hidden = _mm512_set1_epi16(k_hidden);
    const uint64_t low = _mm512_cmpneq_epi16_mask(_mm512_loadu_si512(mask), hidden);
    const uint64_t high = _mm512_cmpneq_epi16_mask(_mm512_loadu_si512(mask + 32), hidden);
    return low | high << 32;
}

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

// Of 64 values of a mask: which are not -infinity.
uint64_t seen_of(const ggml_fp16_t * mask) {
    const __m256i hidden = _mm256_set1_epi16(k_hidden);
    uint64_t bits = 0;
    for (int i = 0; i < 64; i += 32) {
        const __m256i a = _mm256_cmpeq_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(mask + i)), hidden);
        const __m256i b = _mm256_cmpeq_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(mask + i + 16)), hidden);
        const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xd8);
        bits |= uint64_t{~static_cast<uint32_t>(_mm256_movemask_epi8(both))} << i;
    }
    return bits;
}

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

    int64_t size() const { return end - begin; }
};

// Tokens of a stream that see nearly the same, and of them the rows of all heads.
struct Group {
    int64_t stream;
    Range tokens;
    int64_t n_seen; // by the first of them
};

// One node of the graph. Streams have a cache each; the heads of a group read the same keys and values.
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

    int64_t n_tokens() const { return n_tokens_; }
    int64_t n_streams() const { return k_->ne[3]; }

    // Rows of a group: those of a kv head lie together, token by token, of each the heads that share it.
    int64_t n_rows(const Group & group) const { return k_->ne[2] * n_head_rows(group); }
    // Those of whole kv heads, if they fit.
    int64_t n_tile_rows(const Group & group) const {
        const int64_t n = n_head_rows(group);
        return n < k_tile_rows ? k_tile_rows / n * n : k_tile_rows;
    }

    // The next group of a stream, from a token on. Mostly no more tokens than fill a tile with one kv head.
    Group group_from(int64_t stream, int64_t first) const {
        const int64_t n_fair = 2 * n_tokens_ * n_streams() / k_most_groups;
        const int64_t n_most = std::min(std::clamp<int64_t>(std::max(k_tile_rows / group_, n_fair), 1, k_tile_rows), n_tokens_ - first);
        if (mask_ == nullptr) {
            return {stream, {first, first + n_most}, n_kv_};
        }
        int64_t n_seen = 0;
        for (int64_t i = 0; i < n_kv_; i += k_block) {
            n_seen += __builtin_popcountll(seen(first, stream, i));
        }
        // What the others see besides is computed for nothing; but what they have in common is read and converted once.
        const int64_t n_other = std::max<int64_t>(n_seen / 4, 32);
        int64_t n = 1;
        // A prompt's tokens are alike to the last.
        if (n_most > 1 && is_like(first, first + n_most - 1, stream, n_other)) {
            n = n_most;
        }
        while (n < n_most && is_like(first, first + n, stream, n_other)) {
            ++n;
        }
        return {stream, {first, first + n}, n_seen};
    }

    int64_t scratch_floats() const { return k_tile_rows * (d_k_ + d_v_ + 2 * k_block) + k_block * (d_k_ + d_v_); }

    // Up to k_tile_rows rows of a group. Positions are walked through once for all of them, since those of several kv heads lie
    // side by side in the cache. Which positions form a block depends on the group, not on the tile: so a row's sums do not
    // depend on how rows are shared among threads.
    void compute_tile(const Group & group, Range rows, float * scratch) const {
        const Matrix queries = {scratch, d_k_};
        const Matrix weights = {queries.row(k_tile_rows), k_block};
        const Matrix sums = {weights.row(k_tile_rows), d_v_};
        const Matrix keys = {sums.row(k_tile_rows), k_block}; // transposed
        const Matrix values = {keys.row(d_k_), d_v_};
        auto * const masks = reinterpret_cast<ggml_fp16_t *>(values.row(k_block));
        float highest[k_tile_rows];
        float totals[k_tile_rows] = {};
        std::fill_n(highest, k_tile_rows, -INFINITY);
        std::fill_n(sums.data, rows.size() * d_v_, 0.0f);

        const int64_t n_head_rows = this->n_head_rows(group);
        const Range kv_heads = {rows.begin / n_head_rows, (rows.end - 1) / n_head_rows + 1};
        // Those of the tile's rows that belong to a kv head.
        const auto rows_of = [&](int64_t kv_head) {
            return Range{std::max<int64_t>(kv_head * n_head_rows - rows.begin, 0),
                         std::min((kv_head + 1) * n_head_rows, rows.end) - rows.begin};
        };
        const auto token = [&](int64_t row) { return (rows.begin + row) % n_head_rows / group_; }; // in the group
        const auto head = [&](int64_t row) {
            return (rows.begin + row) / n_head_rows * group_ + (rows.begin + row) % group_;
        };
        for (int64_t row = 0; row < rows.size(); ++row) {
            const auto * from =
                reinterpret_cast<const float *>(at(q_, group.tokens.begin + token(row), head(row), group.stream));
            for (int64_t i = 0; i < d_k_; i += k_lanes) {
                store(queries.row(row) + i, multiply(load(from + i), all(scale_)));
            }
        }
        for (Walk walk(*this, group); walk.next();) {
            const int64_t n = walk.n();
            fetch(v_, d_v_, kv_heads, group.stream, walk.positions(), n);
            const Masks mask = masks_of(group, walk, masks);
            for (int64_t kv_head = kv_heads.begin; kv_head < kv_heads.end; ++kv_head) {
                const Range own = rows_of(kv_head);
                pack_keys(keys, kv_head, group.stream, walk);
                for (int64_t row = own.begin; row < own.end; ++row) {
                    std::fill_n(weights.row(row), n, 0.0f);
                }
                add_product({weights.row(own.begin), k_block}, {queries.row(own.begin), d_k_}, keys, own.size(), d_k_, n);
                for (int64_t row = own.begin; row < own.end; ++row) {
                    weigh(weights.row(row), mask.row(token(row)), n, highest[row], totals[row], sums.row(row));
                }
            }
            fetch(k_, d_k_, kv_heads, group.stream, walk.ahead(), walk.n_ahead());
            for (int64_t kv_head = kv_heads.begin; kv_head < kv_heads.end; ++kv_head) {
                const Range own = rows_of(kv_head);
                pack_values(values, kv_head, group.stream, walk);
                add_product({sums.row(own.begin), d_v_}, {weights.row(own.begin), k_block}, values, own.size(), n, d_v_);
            }
        }
        for (int64_t row = 0; row < rows.size(); ++row) {
            const int64_t i_head = head(row);
            if (sinks_ != nullptr) {
                sink(static_cast<const float *>(sinks_->data)[i_head], highest[row], totals[row], sums.row(row));
            }
            const Lanes share = all(totals[row] == 0.0f ? 0.0f : 1.0f / totals[row]);
            auto * to = reinterpret_cast<float *>(at(dst_, i_head, group.tokens.begin + token(row), group.stream));
            for (int64_t i = 0; i < d_v_; i += k_lanes) {
                store(to + i, multiply(load(sums.row(row) + i), share));
            }
        }
    }

  private:
    // Goes through the positions that some tokens of a group see, a block at a time.
    class Walk {
      public:
        Walk(const Attention & attention, const Group & group) : attention_(attention), group_(group) {}

        bool next() {
            n_found_ -= n_;
            std::copy_n(positions_ + n_, n_found_, positions_);
            while (n_found_ < 2 * k_block && from_ < attention_.n_kv_) {
                find();
            }
            n_ = std::min(n_found_, k_block);
            // The last block is filled up to whole registers with what the mask then hides.
            const int64_t n_filled = (n_ + k_lanes - 1) / k_lanes * k_lanes;
            if (n_filled > n_) {
                std::fill(positions_ + n_, positions_ + n_filled, positions_[n_ - 1]);
            }
            n_filled_ = n_filled;
            return n_ > 0;
        }

        const int32_t * positions() const { return positions_; }
        int64_t n() const { return n_filled_; }
        int64_t n_seen() const { return n_; }
        bool is_dense() const { return n_filled_ == n_ && positions_[n_ - 1] - positions_[0] == n_ - 1; }
        // The block after this one.
        const int32_t * ahead() const { return positions_ + n_; }
        int64_t n_ahead() const { return std::min(n_found_ - n_, k_block); }

      private:
        // What is seen of the next 64.
        void find() {
            uint64_t bits = 0;
            const Range tokens = group_.tokens;
            const uint64_t most = n_bits(attention_.n_kv_ - from_);
            for (int64_t token = tokens.begin; token < tokens.end && bits != most; ++token) {
                bits |= attention_.seen(token, group_.stream, from_);
            }
            if (bits == ~uint64_t{0}) {
                for (int32_t i = 0; i < 64; ++i) {
                    positions_[n_found_ + i] = from_ + i;
                }
                n_found_ += 64;
            } else {
                for (; bits != 0; bits &= bits - 1) {
                    positions_[n_found_++] = from_ + __builtin_ctzll(bits);
                }
            }
            from_ += 64;
        }

        const Attention & attention_;
        const Group group_;
        int32_t positions_[3 * k_block]; // of this block, the next one, and what was found with it
        int64_t n_found_ = 0;
        int64_t n_ = 0;
        int64_t n_filled_ = 0;
        int32_t from_ = 0;
    };

    // A block's masks of the tokens of a group.
    struct Masks {
        const char * data;
        int64_t stride;

        const ggml_fp16_t * row(int64_t token) const {
            return data == nullptr ? nullptr : reinterpret_cast<const ggml_fp16_t *>(data + token * stride);
        }
    };

    static uint64_t n_bits(int64_t n) { return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }

    static char * at(const ggml_tensor * tensor, int64_t i1, int64_t i2, int64_t i3) {
        return static_cast<char *>(tensor->data) + i1 * tensor->nb[1] + i2 * tensor->nb[2] + i3 * tensor->nb[3];
    }

    int64_t n_head_rows(const Group & group) const { return group.tokens.size() * group_; }

    const char * mask_row(int64_t token, int64_t stream) const { return at(mask_, token, 0, stream % mask_->ne[3]); }

    // Which of the 64 positions from `position` on a token sees.
    uint64_t seen(int64_t token, int64_t stream, int64_t position) const {
        const int64_t n = n_kv_ - position;
        if (mask_ == nullptr) {
            return n_bits(n);
        }
        const auto * mask = reinterpret_cast<const ggml_fp16_t *>(mask_row(token, stream)) + position;
        if (n >= 64) {
            return seen_of(mask);
        }
        ggml_fp16_t rest[64];
        std::fill(std::copy_n(mask, n, rest), rest + 64, static_cast<ggml_fp16_t>(k_hidden));
        return seen_of(rest);
    }

    // Whether at most so many positions are seen by one of two tokens alone.
    bool is_like(int64_t a, int64_t b, int64_t stream, int64_t n_other) const {
        for (int64_t i = 0; i < n_kv_ && n_other >= 0; i += k_block) {
            n_other -= __builtin_popcountll(seen(a, stream, i) ^ seen(b, stream, i));
        }
        return n_other >= 0;
    }

    // `room` is for one block of as many tokens as a tile has rows.
    Masks masks_of(const Group & group, const Walk & walk, ggml_fp16_t * room) const {
        if (mask_ == nullptr) {
            return {nullptr, 0};
        }
        if (walk.is_dense()) {
            return {mask_row(group.tokens.begin, group.stream) + walk.positions()[0] * sizeof(ggml_fp16_t),
                    static_cast<int64_t>(mask_->nb[1])};
        }
        ggml_fp16_t * to = room;
        for (int64_t token = group.tokens.begin; token < group.tokens.end; ++token, to += k_block) {
            const auto * from = reinterpret_cast<const ggml_fp16_t *>(mask_row(token, group.stream));
            std::transform(walk.positions(), walk.positions() + walk.n_seen(), to, [from](int32_t i) { return from[i]; });
            std::fill(to + walk.n_seen(), to + walk.n(), static_cast<ggml_fp16_t>(k_hidden));
        }
        return {reinterpret_cast<const char *>(room), k_block * static_cast<int64_t>(sizeof(ggml_fp16_t))};
    }

    // Has keys or values brought near while something else is computed.
    static void fetch(const ggml_tensor * from, int64_t d, Range kv_heads, int64_t stream, const int32_t * positions, int64_t n) {
        for (int64_t i = 0; i < n; ++i) {
            for (int64_t kv_head = kv_heads.begin; kv_head < kv_heads.end; ++kv_head) {
                const char * row = at(from, positions[i], kv_head, stream);
                for (int64_t j = 0; j < d * static_cast<int64_t>(sizeof(ggml_fp16_t)); j += 64) {
                    _mm_prefetch(row + j, _MM_HINT_T0);
                }
            }
        }
    }

    void pack_keys(Matrix keys, int64_t kv_head, int64_t stream, const Walk & walk) const {
        for (int64_t i = 0; i < walk.n(); i += k_lanes) {
            const ggml_fp16_t * from[k_lanes];
            for (int j = 0; j < k_lanes; ++j) {
                from[j] = reinterpret_cast<const ggml_fp16_t *>(at(k_, walk.positions()[i + j], kv_head, stream));
            }
            for (int64_t d = 0; d < d_k_; d += k_lanes) {
                Lanes square[k_lanes];
                for (int j = 0; j < k_lanes; ++j) {
                    square[j] = load_f16(from[j] + d);
                }
                transpose(square);
                for (int j = 0; j < k_lanes; ++j) {
                    store(keys.row(d + j) + i, square[j]);
                }
            }
        }
    }

    void pack_values(Matrix values, int64_t kv_head, int64_t stream, const Walk & walk) const {
        for (int64_t i = 0; i < walk.n(); ++i) {
            const auto * from = reinterpret_cast<const ggml_fp16_t *>(at(v_, walk.positions()[i], kv_head, stream));
            for (int64_t d = 0; d < d_v_; d += k_lanes) {
                store(values.row(i) + d, load_f16(from + d));
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

// All rows of a node, in groups, and what they cost.
class Plan {
  public:
    explicit Plan(const Attention & attention) : attention_(attention) {
        for (int64_t stream = 0; stream < attention.n_streams(); ++stream) {
            for (int64_t token = 0; token < attention.n_tokens();) {
                if (n_groups_ == k_most_groups) {
                    fits_ = false;
                    return;
                }
                const Group group = attention.group_from(stream, token);
                token = group.tokens.end;
                groups_[n_groups_++] = group;
                n_tiles_ += tiles(group);
                cost_ += cost(group) * attention.n_rows(group);
            }
        }
    }

    bool fits() const { return fits_; }
    int64_t n_tiles() const { return n_tiles_; }

    // Has the rows computed that are at least `begin` and less than `end` of all cost.
    void compute_share(int64_t begin, int64_t end, int64_t of, float * scratch) const {
        int64_t before = 0;
        for (int64_t i = 0; i < n_groups_; ++i) {
            const Group & group = groups_[i];
            const int64_t n = attention_.n_rows(group);
            const auto row_at = [&](int64_t part) {
                return std::clamp<int64_t>((cost_ * part / of - before) / cost(group), 0, n);
            };
            const int64_t last = row_at(end);
            for (int64_t row = row_at(begin); row < last;) {
                // Tiles begin where those of the whole group do.
                const int64_t n_tile = attention_.n_tile_rows(group);
                const int64_t next = std::min((row / n_tile + 1) * n_tile, last);
                attention_.compute_tile(group, {row, next}, scratch);
                row = next;
            }
            before += cost(group) * n;
        }
    }

    // Continues from where the tile before was: a group and its first tile.
    struct Place {
        int64_t group = 0;
        int64_t n_before = 0;
    };

    void compute_tile(int64_t tile, Place & place, float * scratch) const {
        while (tile >= place.n_before + tiles(groups_[place.group])) {
            place.n_before += tiles(groups_[place.group++]);
        }
        const Group & group = groups_[place.group];
        const int64_t first = (tile - place.n_before) * attention_.n_tile_rows(group);
        attention_.compute_tile(group, {first, std::min(first + attention_.n_tile_rows(group), attention_.n_rows(group))},
                                scratch);
    }

  private:
    int64_t tiles(const Group & group) const {
        const int64_t n = attention_.n_tile_rows(group);
        return (attention_.n_rows(group) + n - 1) / n;
    }

    // Of a row, in positions: one that sees little costs something too.
    static int64_t cost(const Group & group) { return group.n_seen + k_block; }

    const Attention & attention_;
    bool fits_ = true;
    Group groups_[k_most_groups];
    int64_t n_groups_ = 0;
    int64_t n_tiles_ = 0;
    int64_t cost_ = 0;
};

} // namespace

void ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    const Attention attention(dst);
    const int64_t n_rows = attention.n_tokens() * dst->src[0]->ne[2] * attention.n_streams();
    const int64_t n_threads = params->nth;
    // With few rows for many threads upstream's way of splitting the positions among them is faster.
    if (params->use_ref || !attention.is_ours() || n_rows < 2 * n_threads) {
        la_upstream_flash_attn_ext(params, dst);
        return;
    }
    float * scratch = static_cast<float *>(params->wdata) +
                      params->ith * (attention.scratch_floats() + static_cast<int64_t>(CACHE_LINE_SIZE_F32));
    const Plan plan(attention);
    if (!plan.fits()) {
        la_upstream_flash_attn_ext(params, dst);
        return;
    }
    if (plan.n_tiles() < 16 * n_threads) {
        // Equal shares, for which threads need not wait for each other.
        plan.compute_share(params->ith, params->ith + 1, n_threads, scratch);
        return;
    }
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    Plan::Place place;
    for (int64_t tile = params->ith; tile < plan.n_tiles(); tile = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        plan.compute_tile(tile, place, scratch);
    }
}

#else

void ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    la_upstream_flash_attn_ext(params, dst);
}

#endif
