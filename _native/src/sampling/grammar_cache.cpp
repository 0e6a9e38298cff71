#include "sampling/grammar_cache.h"

#include "sampling/grammar_limits.h"

#include <algorithm>

namespace la {

// Nothing is compiled under the lock: a compilation that does not end is abandoned with its thread, the lock would be too.

SharedGrammarPtr GrammarCache::find(const std::string & text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry & entry) { return entry.text == text; });
    if (found == entries_.end()) {
        return nullptr;
    }
    entries_.splice(entries_.begin(), entries_, found);
    return found->grammar;
}

VocabularyPtr GrammarCache::vocabulary(const llama_vocab * vocab) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (vocabulary_) {
            return vocabulary_;
        }
    }
    auto made = std::make_shared<const Vocabulary>(vocab);
    const std::lock_guard<std::mutex> lock(mutex_);
    vocabulary_ = vocabulary_ ? vocabulary_ : std::move(made);
    return vocabulary_;
}

SharedGrammarPtr GrammarCache::get(const llama_vocab * vocab, const std::string & text) {
    if (auto found = find(text)) {
        return found;
    }
    check_grammar_limits(text);
    auto rules = GrammarRules::compile(vocab, text);
    auto made = std::make_shared<SharedGrammar>(std::move(rules), vocabulary(vocab));
    if (auto found = find(text)) {
        return found;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    entries_.push_front({ text, made });
    if (entries_.size() > k_max_grammars) {
        entries_.pop_back();
    }
    return made;
}

} // namespace la
