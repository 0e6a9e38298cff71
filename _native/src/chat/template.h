// Chat templates that are ready to render: the model's own, the client's, and those that requests bring along.
#pragma once

#include "chat.h" // common's

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace la {

// What a template makes of tools, found out by upstream's trying it, or by what only its family's text contains.
struct TemplateTraits {
    bool lists_tools = false;
    bool renders_calls = false;
    bool parallel_calls = false;
    bool python_calls = false;    // LFM2: lists tools, and expects calls as text of the assistant's, in Python's syntax
    bool reads_functions = false; // Firefunction: its list of tools is a text named `functions`
    bool drops_content = false;   // Devstral: upstream takes it for Ministral, whose content may be thought; this one's may not
};

// Constant once made; rendering it from several threads is safe, since upstream's programs are never written to.
struct ChatTemplate {
    common_chat_templates_ptr compiled;
    TemplateTraits traits;
    std::vector<std::string> stops; // that its first comment asks for: {#- stop: ["###"] -#}
};

using ChatTemplatePtr = std::shared_ptr<const ChatTemplate>;

// The one place where text from outside becomes a template: whatever must not reach upstream's lexer, parser or probing is
// refused here. An empty `source` is the model's own; the result is null if it has none. The BOS and EOS tokens are those of
// `weights`. Throws std::exception with the reason.
ChatTemplatePtr compile_template(const llama_model * weights, const std::string & source);

// Templates of requests, by their text: compiling one takes upstream between 0.1 and 20 ms, since it runs it some
// ten times to see what it can. Thread-safe: a preparation thread that was given up on may still be at work.
class TemplateCache {
  public:
    static constexpr size_t k_max_entries = 16;
    static constexpr size_t k_max_source_bytes = size_t(1) << 20; // of all entries; a compiled one takes some 50 times its text

    // Throws Error: LA_ERR_INVALID naming chat_template.
    ChatTemplatePtr get(const llama_model * weights, const std::string & source);

  private:
    struct Entry {
        std::string source;
        ChatTemplatePtr compiled;
    };

    ChatTemplatePtr find(const std::string & source);

    std::mutex mutex_;
    std::list<Entry> entries_; // the last used first
    size_t n_source_bytes_ = 0;
};

} // namespace la
