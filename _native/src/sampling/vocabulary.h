// What each token of a vocabulary spells, as a grammar sees it, in an order that shares beginnings. Constant.
#pragma once

#include "sampling/utf8_pieces.h"

#include "llama.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace la {

// Upstream's mask decodes and follows all tokens one by one: 3.5 ms of 49,152. Half of them begin alike, so a tree of
// their characters has a third as many steps, and where nothing with a beginning is admitted all of it is skipped.
class Vocabulary {
  public:
    explicit Vocabulary(const llama_vocab * vocab);

    // One character of one beginning. A preorder: behind a node comes its first child, at `skip` what is no descendant.
    struct Node {
        uint32_t character; // index into characters()
        uint32_t depth;     // 1 for the first character of a token
        uint32_t skip;
        uint32_t first_token; // of those that end here; the next node's first is behind the last
    };
    struct Token {
        llama_token id;
        PartialChar partial; // what it has beyond the node's character
    };

    // The first node is the root: no character, depth 0. Ends in one that only bounds.
    const std::vector<Node> & nodes() const { return nodes_; }
    const std::vector<Token> & tokens() const { return tokens_; }
    // All code points there are, ascending.
    const std::vector<uint32_t> & characters() const { return characters_; }
    // Those that end an answer. A grammar admits all or none of them, whatever they spell.
    const std::vector<llama_token> & ends() const { return ends_; }
    // Those that can only stand within a character. They are not in the tree.
    const std::vector<llama_token> & continuations() const { return continuations_; }

    int32_t n_tokens() const { return n_tokens_; }
    bool is_end(llama_token token) const { return llama_vocab_is_eog(vocab_, token); }
    // Control tokens with their names, unlike Model::piece.
    std::string piece(llama_token token) const;

  private:
    const llama_vocab * vocab_;
    int32_t n_tokens_;
    std::vector<Node> nodes_;
    std::vector<Token> tokens_;
    std::vector<uint32_t> characters_;
    std::vector<llama_token> ends_;
    std::vector<llama_token> continuations_;
};

using VocabularyPtr = std::shared_ptr<const Vocabulary>;

} // namespace la
