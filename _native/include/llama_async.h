/* The C ABI between the native core and any binding (see docs/abi.md).
 *
 * Conventions
 *   - Handles are opaque. `la_engine_open` creates one, `la_engine_free` destroys it.
 *   - Every function returns a status, never throws, and may be called from any thread unless it says otherwise.
 *   - Strings are UTF-8 with a length; they need no terminator. Input memory is copied before the call returns.
 *   - After a status other than LA_OK, `la_last_error` describes the failure of the calling thread's last call.
 *   - A struct starts with its size, set by its `_init` function: a library refuses a caller built for another layout.
 *
 * Threads
 *   - The engine owns two threads. The decode thread loads the model and is the only caller of llama_decode; the
 *     preparation thread renders, tokenizes and compiles grammars. Neither ever calls back into the caller.
 *   - `la_engine_drain` has one caller at a time (the event loop that owns the engine).
 */
#ifndef LLAMA_ASYNC_H
#define LLAMA_ASYNC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define LA_NOEXCEPT noexcept
extern "C" {
#else
#define LA_NOEXCEPT
#endif

#if defined(_WIN32)
#define LA_API
#else
#define LA_API __attribute__((visibility("default")))
#endif

#define LA_ABI_VERSION 4

typedef enum la_status {
    LA_OK = 0,
    LA_ERR_INVALID = 1,        /* an argument has a wrong value; the parameter is named */
    LA_ERR_CONTEXT_LENGTH = 2, /* prompt + max_tokens do not fit into n_ctx */
    LA_ERR_GRAMMAR = 3,        /* grammar or schema cannot be compiled */
    LA_ERR_TEMPLATE = 4,       /* chat template missing, or it refuses the messages */
    LA_ERR_QUEUE_FULL = 5,
    LA_ERR_CANCELLED = 6,      /* by la_engine_cancel */
    LA_ERR_TIMEOUT = 7,        /* la_request.timeout_s passed */
    LA_ERR_CLOSED = 8,         /* the engine is closing or closed */
    LA_ERR_LOAD = 9,           /* the model file is missing, truncated, corrupt or of an unknown kind */
    LA_ERR_MEMORY = 10,        /* model or context do not fit into memory */
    LA_ERR_UNSUPPORTED = 11,   /* well-formed, but this model or build cannot do it */
    LA_ERR_INTERNAL = 12,      /* a fault inside the engine; only the request named by the record is lost */
    LA_ERR_FORKED = 13,        /* the handle was created before fork(); its threads live in the parent */
    LA_ERR_NOT_READY = 14      /* the model is still loading */
} la_status;

typedef enum la_finish {
    LA_FINISH_NONE = 0,   /* still generating */
    LA_FINISH_STOP = 1,   /* end-of-generation token or a stop string */
    LA_FINISH_LENGTH = 2, /* max_tokens or the end of the context */
    LA_FINISH_TOOL_CALLS = 3,
    LA_FINISH_ABORTED = 4 /* cancelled, timed out, closed or failed: the status says which */
} la_finish;

typedef enum la_record_kind {
    LA_RECORD_DELTA = 1,   /* more text of one choice; `finish` is set on its last one */
    LA_RECORD_END = 2,     /* exactly one per accepted request, after all its deltas */
    LA_RECORD_LOADING = 3, /* n_tokens = 1/1000 of the model loaded */
    LA_RECORD_READY = 4,   /* status LA_OK, or why loading failed (text) */
    LA_RECORD_CLOSED = 5,  /* last record of an engine: context and model are freed */
    LA_RECORD_REASONING = 6, /* more of what the model thinks; in order with the choice's deltas */
    LA_RECORD_TOOL_CALL = 7  /* more of a tool call's arguments; in order with the choice's deltas */
} la_record_kind;

typedef enum la_segment_kind {
    LA_SEGMENT_TOKENS = 1, /* data: int32_t[size / 4] */
    LA_SEGMENT_TEXT = 2,   /* data: UTF-8 text */
    LA_SEGMENT_CHAT = 3,   /* data: a JSON object, see docs/abi.md */
    LA_SEGMENT_MEDIA = 4   /* data: an encoded image or audio clip */
} la_segment_kind;

typedef enum la_task {
    LA_TASK_GENERATE = 0,
    LA_TASK_EMBED = 1,      /* one DELTA per segment (choice = its index): aux is float[], the embedding */
    LA_TASK_RERANK = 2,     /* segment 0 is the query; one DELTA per document (choice = segment index - 1): aux is
                               float[1], its relevance */
    LA_TASK_TOKENIZE = 3,   /* one DELTA per LA_SEGMENT_TEXT: aux is int32_t[], its tokens */
    LA_TASK_DETOKENIZE = 4, /* one DELTA per LA_SEGMENT_TOKENS: text, control tokens by name; what is not UTF-8 becomes
                               U+FFFD */
    LA_TASK_RENDER = 5      /* one DELTA: text is the prompt of an LA_SEGMENT_CHAT, aux int32_t[], its tokens */
} la_task;

enum {
    LA_SEGMENT_ADD_SPECIAL = 1,  /* LA_SEGMENT_TEXT: add BOS/EOS as the model wants */
    LA_SEGMENT_PARSE_SPECIAL = 2 /* LA_SEGMENT_TEXT: text such as <|im_end|> becomes its control token */
};

enum {
    LA_REQUEST_STREAM = 1,  /* post text as it is generated; without it one delta per choice, at its end */
    LA_REQUEST_NO_CACHE = 2, /* neither read nor leave a cached prefix */
    LA_REQUEST_PROMPT_LOGPROBS = 4 /* one DELTA of choice -1 with an la_logprob entry per prompt token, before all
                                      others; the first token's logprob is NaN, without alternatives. Alternatives as
                                      la_sampling.top_logprobs says. The prompt is computed whole, whatever is cached. */
};

enum {
    LA_DRAINED_LOG = 1 /* la_log_drain has lines */
};

#define LA_SEED_RANDOM 0xFFFFFFFFu
#define LA_MAX_TOP_LOGPROBS 20
#define LA_MAX_CHOICES 128
#define LA_MAX_STOP 32

typedef struct la_engine la_engine;
typedef struct la_adapter la_adapter; /* LoRA adapter handle */
typedef struct la_state la_state;     /* saved sequence state */

typedef struct la_str {
    const char *data;
    size_t size; /* bytes */
} la_str;

typedef struct la_logit_bias {
    int32_t token;
    float bias; /* added to the logit; -infinity forbids the token */
} la_logit_bias;

/* Meaning and ranges as llama.cpp common/common.h (common_params_sampling). */
typedef struct la_sampling {
    size_t struct_size;
    uint32_t seed; /* LA_SEED_RANDOM: a fresh one. Choice i uses seed + i. */
    int32_t top_k; /* <= 0: whole vocabulary */
    int32_t min_keep;
    float temperature; /* <= 0: greedy */
    float dynatemp_range;
    float dynatemp_exponent;
    float top_p;
    float min_p;
    float typical_p;
    float top_n_sigma; /* < 0: off */
    float xtc_probability;
    float xtc_threshold;
    int32_t penalty_last_n; /* tokens looked back; 0: off, -1: the whole context */
    float repeat_penalty;   /* > 0, 1: off */
    float frequency_penalty;
    float presence_penalty;
    float dry_multiplier;
    float dry_base;
    int32_t dry_allowed_length;
    int32_t dry_penalty_last_n; /* -1: the whole context */
    int32_t mirostat;           /* 0, 1 or 2 */
    float mirostat_tau;
    float mirostat_eta;
    float adaptive_target; /* < 0: off */
    float adaptive_decay;
    int32_t ignore_eos;   /* 1: never end by an end-of-generation token */
    int32_t top_logprobs; /* -1: no logprobs; 0: of the chosen token; up to LA_MAX_TOP_LOGPROBS alternatives */
    const la_logit_bias *logit_bias;
    size_t n_logit_bias;
    const la_str *dry_breakers; /* NULL: upstream's */
    size_t n_dry_breakers;
    const la_str *samplers; /* names in order; NULL: upstream's order */
    size_t n_samplers;
    la_str grammar; /* GBNF; size 0: none */
} la_sampling;

/* Tokens are guessed, computed beside the next one in the same step, and taken where the request's own sampling chooses
 * them: an answer is what it would be without, up to the rounding of another batch shape. How many is decided step by step
 * by what came true and what it costs; the numbers here are bounds. Below 0: the engine's, or else a default. */
typedef struct la_speculation {
    la_str kinds;        /* comma-separated, in order of preference, by upstream's names: "ngram-simple", "ngram-map-k",
                            "ngram-map-k4v", "ngram-mod", "ngram-cache", "draft-simple" (la_engine_params.draft_model_path),
                            "draft-mtp" (heads of the model itself), "none"; size 0: the engine's, or else none */
    int32_t n_max;       /* tokens guessed at a time, at most; 0: none. 32 */
    int32_t n_min;       /* shorter guesses are not tried. 0 */
    float p_min;         /* a draft model's tokens end at one less likely. 0 */
    int32_t ngram_size_n; /* tokens that must repeat. 4 */
    int32_t ngram_size_m; /* tokens that are taken from behind them. n_max */
    int32_t ngram_min_hits; /* ngram-map-k4v: repeats before the first guess. 1 */
    int32_t adaptive;    /* 1: guess as far as it pays; 0: always, up to n_max, whatever it costs. 1 */
} la_speculation;

typedef struct la_segment {
    int32_t kind;  /* la_segment_kind */
    int32_t flags; /* LA_SEGMENT_* */
    const void *data;
    size_t size; /* bytes */
} la_segment;

typedef struct la_request {
    size_t struct_size;
    const la_segment *segments;
    size_t n_segments;
    la_adapter *const *adapters; /* must be NULL in ABI 1: LoRA is not wired yet */
    size_t n_adapters;
    const la_state *state; /* must be NULL in ABI 1 */
    la_sampling sampling;
    const la_str *stop; /* never part of the text */
    size_t n_stop;
    int32_t n_choices;  /* 1 .. LA_MAX_CHOICES */
    int32_t max_tokens; /* per choice; -1: until stop or the end of the context; 0: the prompt is computed, no more */
    int32_t flags;      /* LA_REQUEST_* */
    int32_t priority;   /* higher first; 0 normal */
    int32_t task;       /* la_task; n_choices is ignored unless it is LA_TASK_GENERATE */
    int32_t embd_normalize;  /* LA_TASK_EMBED, upstream's: -1 none, 0 max absolute, 1 taxicab, 2 euclidean */
    int32_t embd_dimensions; /* LA_TASK_EMBED: keep this many, normalized anew; 0: all */
    la_speculation speculation;
    la_str prediction; /* what the answer will probably say: guessed from first, whatever `speculation.kinds` says; the END
                          record's aux is then la_predicted. size 0: nothing */
    double timeout_s;   /* longest silence before LA_ERR_TIMEOUT: since submit or, when streaming, since the last
                           token of any choice; <= 0: none */
} la_request;

typedef struct la_engine_params {
    size_t struct_size;
    la_str model_path;
    la_str chat_template; /* Jinja source; size 0: the model's own */
    la_str devices;       /* comma-separated device names of llama.cpp; size 0: all */
    la_str type_k;        /* ggml type name of the K cache, e.g. "f16", "q8_0"; size 0: f16 */
    la_str type_v;
    const float *tensor_split; /* share of each device */
    size_t n_tensor_split;
    int32_t n_ctx;           /* tokens of one request; 0: min(4096, the model's) */
    int32_t n_parallel;      /* sequences decoding at once, 1..256 */
    int32_t n_batch;         /* most tokens of one decode step; 0: 2048 */
    int32_t n_ubatch;        /* most tokens of one compute graph; 0: 512, or what is measured */
    int32_t n_threads;       /* of a step of one token; 0: the cores this process may use, or what is measured */
    int32_t n_threads_batch; /* of all other steps; 0: n_threads, or what is measured if that is 0 too */
    int32_t n_gpu_layers;    /* -1: as many as fit; 0: none */
    int32_t main_gpu;
    int32_t split_mode;      /* enum llama_split_mode */
    int32_t flash_attention; /* -1: upstream's choice, or what is measured; 0: off, 1: on */
    int32_t kv_unified;      /* 0: one KV partition per sequence, 1: one for all; -1: 0, or what is measured */
    int32_t use_mmap;        /* 1: map the file */
    int32_t use_mlock;
    int32_t use_extra_buffers; /* 1: repacked and AMX weights where the CPU has them */
    int32_t check_tensors;     /* 1: validate tensor data while loading */
    int32_t swa_full;          /* 1: keep the whole context of sliding-window layers; always so with kv_unified */
    int32_t offload_kqv;       /* 1: KV cache on the device */
    int32_t max_queue;         /* requests waiting at most; 0: 1024 */
    int32_t pooling;           /* enum llama_pooling_type of embeddings; -1: the model's own, or else the mean */
    float rope_freq_base;      /* 0: the model's */
    float rope_freq_scale;     /* 0: the model's */
    int32_t n_kv;              /* with kv_unified: tokens of all sequences together; 0: n_ctx * n_parallel. With less,
                                  the last that came gives way when they are used up, and goes on later */
    la_speculation speculation; /* of requests that do not say otherwise */
    la_str draft_model_path;    /* a smaller model of the same vocabulary, for "draft-simple"; size 0: none */
    int64_t prefix_cache_bytes; /* main memory for prefixes that had to leave the KV cache; -1: 512 MiB, 0: none */
    int32_t poll;               /* how long idle compute threads poll for work before they sleep, 0..100; -1: 50, or what is
                                   measured */
    double tune_s;              /* seconds that loading may spend on measuring what is left open (la_engine_tuning); below 0:
                                   1.7, or half of what loading takes if that is more; 0: nothing is measured */
} la_engine_params;

/* 64 bytes, no padding. Offsets point into la_drained.blob. */
typedef struct la_record {
    uint64_t request;    /* 0: the engine itself */
    int32_t kind;        /* la_record_kind */
    int32_t choice;
    int32_t status;      /* la_status; LA_RECORD_END and LA_RECORD_READY */
    int32_t finish;      /* la_finish; LA_RECORD_DELTA */
    uint32_t text_offset; /* DELTA, REASONING, TOOL_CALL: valid UTF-8 text. END, READY with an error: its message */
    uint32_t text_size;
    uint32_t aux_offset; /* DELTA: la_logprob entries. END, READY with an error: the parameter's name, if one is at fault.
                             END of a request with a prediction, LA_OK: la_predicted.
                             TOOL_CALL: on a call's first record its id, a zero byte, its function's name */
    uint32_t aux_size;
    int32_t n_tokens;    /* DELTA: tokens behind this text. END: those spent on reasoning */
    int32_t n_prompt;    /* END: prompt tokens; CONTEXT_LENGTH errors too. TOOL_CALL: the call's index */
    int32_t n_cached;    /* END: prompt tokens not computed again */
    int32_t n_generated; /* END: tokens of all choices */
    float prompt_ms;     /* END: from submit to the first token */
    float decode_ms;     /* END: from the first token to the last */
} la_record;

/* A chosen token, followed by its n_bytes of text, then by n_top alternatives of the same layout with n_top = 0.
 * Entries are packed without padding. */
typedef struct la_logprob {
    int32_t token;
    float logprob; /* natural logarithm, of the model's own distribution (before penalties and truncation) */
    uint32_t n_bytes;
    uint32_t n_top;
} la_logprob;

/* Tokens of a request's prediction that its answers said, and the others; of all choices. */
typedef struct la_predicted {
    int32_t n_accepted;
    int32_t n_rejected;
} la_predicted;

typedef struct la_drained {
    const la_record *records; /* valid until the next drain of the same engine */
    size_t n_records;
    const char *blob;
    size_t blob_size;
    uint32_t flags; /* LA_DRAINED_* */
} la_drained;

typedef struct la_stats {
    size_t struct_size;
    int32_t n_parallel;
    int32_t n_queued;     /* accepted, not yet in a sequence (being prepared included) */
    int32_t n_running;    /* sequences prefilling or decoding */
    uint64_t n_requests;  /* accepted since start */
    uint64_t n_ended;     /* terminal records posted */
    uint64_t n_steps;     /* llama_decode calls */
    uint64_t n_prefilled; /* prompt tokens computed */
    uint64_t n_cached;    /* prompt tokens taken from a cached prefix */
    uint64_t n_generated; /* tokens sampled */
    uint64_t n_drafted;   /* tokens guessed and computed to see whether they are right */
    uint64_t n_accepted;  /* those that were; among n_generated */
    uint64_t n_preempted; /* sequences that gave their slot to another and went on later */
    uint64_t n_stored_bytes; /* main memory that holds prefixes now */
    uint64_t n_wakeups;   /* writes to the wake-up descriptor */
    double decode_s;      /* seconds inside llama_decode */
    double sample_s;      /* seconds sampling and building text */
} la_stats;

/* What an engine takes, main memory and devices together. */
typedef struct la_memory {
    size_t struct_size;
    uint64_t weights_bytes; /* mapped from the file, read, or repacked */
    uint64_t context_bytes; /* KV cache and recurrent state */
    uint64_t compute_bytes; /* buffers of the compute graph */
} la_memory;

/* A bare llama_decode loop over the same model: the ceiling for benchmarks. */
typedef struct la_bare_params {
    size_t struct_size;
    int32_t n_streams;
    int32_t n_prompt; /* tokens per stream, prefilled first */
    int32_t n_decode; /* tokens per stream, one per step */
} la_bare_params;

typedef struct la_bare_result {
    double prefill_s;
    double decode_s;
    size_t context_bytes; /* KV cache and compute buffers */
} la_bare_result;

/* -- library ------------------------------------------------------------------------------------------------- */

LA_API uint32_t la_abi_version(void) LA_NOEXCEPT;
/* The calling thread's last failure; empty after a success. Valid until its next call. */
LA_API const char *la_last_error(void) LA_NOEXCEPT;
/* The name of a parameter at fault in the calling thread's last failure; may be empty. */
LA_API const char *la_last_error_param(void) LA_NOEXCEPT;
/* JSON: build options, compiler, upstream commit, CPU features, devices. Static storage. */
LA_API const char *la_build_info(void) LA_NOEXCEPT;
/* Multiply quantized matrices in the CPU's extra (repacked, AMX) buffers and in plain ones and compare.
 * A broken build may die here by a signal: call it in a child process. */
LA_API la_status la_self_test(double *max_relative_error) LA_NOEXCEPT;
/* Collect upstream's log from `level` on: ggml levels 1 debug, 2 info, 3 warning, 4 error; 5 none (default). */
LA_API void la_log_set_level(int32_t level) LA_NOEXCEPT;
/* Move up to `capacity` bytes of log lines ("<level digit><text>\n") into `buffer`; returns the bytes written. */
LA_API size_t la_log_drain(char *buffer, size_t capacity) LA_NOEXCEPT;

/* -- engine -------------------------------------------------------------------------------------------------- */

LA_API void la_engine_params_init(la_engine_params *params) LA_NOEXCEPT;
/* What an engine opened with these parameters would take, without opening one: weights, KV cache and compute buffers, not
 * the context of embeddings, nor what requests and the process need beside them. Reads the file's metadata: blocks for
 * tens of milliseconds or more, so not for an event loop. LA_ERR_LOAD as the READY record has it. */
LA_API la_status la_engine_estimate(const la_engine_params *params, la_memory *out) LA_NOEXCEPT;
/* Starts the threads and begins to load; returns at once. LOADING and READY records follow. */
LA_API la_status la_engine_open(const la_engine_params *params, la_engine **out) LA_NOEXCEPT;
/* A descriptor that polls readable while records wait. Owned by the engine. */
LA_API intptr_t la_engine_wake_fd(const la_engine *engine) LA_NOEXCEPT;
/* JSON: the loaded model (LA_ERR_NOT_READY before READY). Valid as long as the engine. */
LA_API la_status la_engine_info(const la_engine *engine, const char **json) LA_NOEXCEPT;
/* JSON: what was measured while it loaded, and chosen (LA_ERR_NOT_READY before READY). Valid as long as the engine. */
LA_API la_status la_engine_tuning(const la_engine *engine, const char **json) LA_NOEXCEPT;
/* The sampling a request starts from: upstream's defaults and what the GGUF recommends. */
LA_API la_status la_engine_sampling_init(const la_engine *engine, la_sampling *sampling) LA_NOEXCEPT;
LA_API void la_request_init(la_request *request) LA_NOEXCEPT;
/* Accepts a request: from then on it ends in exactly one LA_RECORD_END. A status other than LA_OK: not accepted. */
LA_API la_status la_engine_submit(la_engine *engine, const la_request *request, uint64_t *id) LA_NOEXCEPT;
/* Sets the request's cancel flag: its END (LA_ERR_CANCELLED) follows within one decode step. Unknown ids are
 * ignored. Never blocks: may be called from a finalizer. */
LA_API la_status la_engine_cancel(la_engine *engine, uint64_t id) LA_NOEXCEPT;
/* Takes every waiting record and clears the wake-up descriptor. Never blocks. */
LA_API la_status la_engine_drain(la_engine *engine, la_drained *out) LA_NOEXCEPT;
LA_API la_status la_engine_stats(const la_engine *engine, la_stats *out) LA_NOEXCEPT;
/* Blocks for the whole measurement, on the calling thread; not for an event loop. The engine should be idle. */
LA_API la_status la_engine_bare_loop(la_engine *engine, const la_bare_params *params, la_bare_result *out) LA_NOEXCEPT;
/* Begins to close: loading stops, every request ends with LA_ERR_CLOSED, then CLOSED follows. Idempotent, never
 * blocks. */
LA_API la_status la_engine_close(la_engine *engine) LA_NOEXCEPT;
/* Closes, joins the threads and frees the handle. Blocks until the current decode step is aborted. In a forked child
 * it does nothing. NULL is allowed. */
LA_API void la_engine_free(la_engine *engine) LA_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif /* LLAMA_ASYNC_H */
