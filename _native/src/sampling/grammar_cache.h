// Compiled grammars of an engine, by their text. Thread-safe.
#pragma once

#include "sampling/matcher.h"

#include <list>
#include <mutex>
#include <string>

namespace la {

// An application asks for the same few schemas and tools again and again: what compiling them and walking the vocabulary
// took is paid once, not once a request.
class GrammarCache {
  public:
    static constexpr size_t k_max_grammars = 16;

    // Compiles it unless it is there. Throws Error (LA_ERR_GRAMMAR, param "grammar").
    SharedGrammarPtr get(const llama_vocab * vocab, const std::string & text);

  private:
    struct Entry {
        std::string text;
        SharedGrammarPtr grammar;
    };

    VocabularyPtr vocabulary(const llama_vocab * vocab);
    SharedGrammarPtr find(const std::string & text);

    std::mutex mutex_;
    std::list<Entry> entries_; // last used first
    VocabularyPtr vocabulary_; // made with the first grammar: many engines never see one
};

} // namespace la
