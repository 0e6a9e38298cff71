// The loaded weights and what the engine derives from them once. Constant after load, shared by all threads.
#pragma once

#include "chat/template.h"
#include "llama_async.h"
#include "speculative/spec.h"
#include "tune/settings.h"

#include "llama-cpp.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace la {

// Owning copy of la_engine_params, defaults filled in where they do not depend on the model.
struct EngineConfig {
    explicit EngineConfig(const la_engine_params & params); // throws Error (LA_ERR_INVALID)

    size_t prefix_cache_bytes() const { return static_cast<size_t>(raw.prefix_cache_bytes); }

    la_engine_params raw; // its pointers are not used
    OpenSettings open;    // what was left open; in `raw` stands what is used if nothing is measured
    std::string model_path;
    std::string chat_template;
    std::string draft_model_path; // empty: none
    SpeculationSpec speculation;  // of requests that do not say otherwise
    std::vector<std::string> devices;
    std::string type_k;
    std::string type_v;
    std::vector<float> tensor_split;
};

class Model {
  public:
    // Loads on the calling thread. `progress` gets 0..1 and returns false to stop. Throws Error: LA_ERR_LOAD with the
    // path and upstream's reason, LA_ERR_CLOSED when stopped. `dry`: reads the metadata and allocates nothing, for
    // `estimate`; such a model has neither weights nor templates, and its pieces are empty.
    static std::shared_ptr<Model> load(const EngineConfig & config, const std::function<bool(float)> & progress,
                                       bool dry = false);

    llama_model * weights() const { return weights_.get(); }
    const llama_vocab * vocab() const { return vocab_; }
    int32_t n_vocab() const { return static_cast<int32_t>(pieces_.size()); }
    int32_t n_ctx_train() const { return n_ctx_train_; }

    // The bytes a token stands for in text; control tokens: none.
    const std::string & piece(llama_token token) const { return pieces_[token]; }
    // The longest of all, so n bytes of text are at least n / max_piece_bytes() tokens.
    size_t max_piece_bytes() const { return max_piece_bytes_; }
    // A run of tokens out of a segment. Throws Error (LA_ERR_INVALID, `param`) for one that the vocabulary does not have.
    std::vector<llama_token> tokens_of(std::string_view bytes, const std::string & param) const;
    bool is_end(llama_token token) const { return is_end_[token]; }
    // Names of control tokens, e.g. "<|im_end|>": text of a message must never become one.
    const std::vector<std::string> & control_texts() const { return control_texts_; }

    bool is_recurrent() const { return recurrent_; }
    int32_t n_swa() const { return n_swa_; }
    // Bytes of KV cache one token takes at most.
    size_t kv_token_bytes(ggml_type k, ggml_type v) const;

    // The client's, or the model's own; null where there is none, or none that can be used.
    const ChatTemplatePtr & chat_template() const { return template_; }
    const std::string & chat_template_error() const { return template_error_; }
    // One that a request brings along. Throws Error (LA_ERR_INVALID, chat_template).
    ChatTemplatePtr chat_template(const std::string & source) const { return other_templates_.get(weights_.get(), source); }

    // Upstream's defaults, overridden by what the GGUF recommends (general.sampling.*).
    const la_sampling & sampling_defaults() const { return sampling_defaults_; }
    const std::string & path() const { return path_; }
    // The GGUF has the tensors that turn a pair of texts into a number (or labels).
    bool has_rank_head() const { return rank_head_; }
    // A string value of the GGUF's metadata; empty when absent.
    std::string meta(const char * key) const;

  private:
    Model() = default;
    void index_vocab();
    void init_sampling_defaults();

    llama_model_ptr weights_;
    const llama_vocab * vocab_ = nullptr;
    std::string path_;
    int32_t n_ctx_train_ = 0;
    int32_t n_swa_ = 0;
    bool rank_head_ = false;
    bool recurrent_ = false; // or hybrid: a state cannot be cut at an arbitrary token
    std::vector<std::string> pieces_;
    std::vector<bool> is_end_;
    size_t max_piece_bytes_ = 1;
    std::vector<std::string> control_texts_;
    ChatTemplatePtr template_;
    mutable TemplateCache other_templates_;
    std::string template_error_;
    la_sampling sampling_defaults_ = {};
};

// Bytes of memory this process can still take (physical memory and cgroup limits); SIZE_MAX when unknown.
size_t available_memory_bytes();

ggml_type cache_type(const std::string & name, const char * param); // throws Error

} // namespace la
