// A grammar as a machine whose states are found while text is generated, with what each state admits of a vocabulary.
#pragma once

#include "sampling/grammar_rules.h"
#include "sampling/vocabulary.h"

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace la {

// Tokens that a state admits. Few are kept as a list, many as bits.
class Admitted {
  public:
    Admitted(std::vector<llama_token> tokens, int32_t n_vocab); // in any order

    bool has(llama_token token) const;
    size_t size() const { return size_; }
    size_t size_bytes() const { return sizeof(*this) + list_.size() * sizeof(llama_token) + bits_.size() * sizeof(uint64_t); }

    // In ascending order.
    template <typename Visit> void each(Visit visit) const {
        for (const llama_token token : list_) {
            visit(token);
        }
        for (size_t word = 0; word < bits_.size(); ++word) {
            for (uint64_t rest = bits_[word]; rest != 0; rest &= rest - 1) {
                visit(static_cast<llama_token>(word * 64 + static_cast<size_t>(__builtin_ctzll(rest))));
            }
        }
    }

  private:
    size_t size_;
    std::vector<llama_token> list_;
    std::vector<uint64_t> bits_;
};

// Not thread-safe.
//
// Upstream keeps a set of stacks for each sequence and follows all of them for each character of each token. The same
// sets come again and again, in one answer and in all answers under the same grammar, so each is a state here, with the
// state behind each class of characters once it was asked for. It only grows: who steps it replaces it when it is full.
class Automaton {
  public:
    using State = uint32_t;
    static constexpr State k_dead = 0;
    static constexpr size_t k_full_bytes = size_t(8) << 20;

    // Where a text stands: between characters, or within one.
    struct Position {
        State state = k_dead;
        PartialChar partial;
    };
    // The same, told without an automaton: positions in the rules, outermost first.
    struct Told {
        std::vector<std::vector<uint32_t>> stacks;
        PartialChar partial;
    };

    Automaton(GrammarRulesPtr rules, VocabularyPtr vocabulary);

    Position start();
    Position import(const Told & told);
    Told tell(const Position & position) const;

    // Where `token`, or the part `text` of it, leads to; k_dead where the grammar does not admit it. Throws Error
    // (LA_ERR_GRAMMAR) when the grammar leaves too many ways open, as all below.
    Position accept(const Position & from, llama_token token, std::string_view text);
    // What may come next. The reference holds as long as the automaton.
    const Admitted & admitted(const Position & position);
    // The same if it is known already, else null.
    const Admitted * known(const Position & position) const;
    // The same for one token, without finding out about all.
    bool admits(const Position & position, llama_token token);

    bool is_full() const { return size_bytes_ > k_full_bytes; }

  private:
    using Stack = uint32_t; // 0: empty, nothing more to come
    struct Link {
        uint32_t position; // the next element to match
        Stack rest;
    };
    struct Facts {
        std::vector<Stack> stacks; // sorted; each has characters or a token on top, or is empty
        std::vector<State> next;   // by class of characters; k_unknown: not asked for yet
        bool can_end = false;
        bool has_tokens = false; // on top of a stack
    };

    Stack push(uint32_t position, Stack rest);
    // Adds what a stack becomes when the rules on its top are written out. `position` may be behind an alternative's end.
    void open(uint32_t position, Stack rest, std::vector<Stack> & stacks);
    State state_of(std::vector<Stack> stacks);
    State next(State from, uint32_t char_class);
    State follow(State from, const std::vector<uint32_t> & chars);
    bool can_end(const Position & position) const;
    // Whether a character that has begun may stand here.
    bool admits_partial(State state, PartialChar partial) const;
    std::vector<llama_token> admitted_between_chars(State state);
    std::vector<llama_token> admitted_within_char(const Position & position);
    void grow(size_t n_bytes);

    const GrammarRulesPtr rules_;
    const VocabularyPtr vocabulary_;
    std::vector<uint32_t> classes_; // of the vocabulary's characters
    std::vector<Link> links_;
    std::unordered_map<uint64_t, Stack> link_ids_;
    std::vector<uint64_t> seen_; // by stack: the last open() that met it
    uint64_t n_opened_ = 0;
    std::vector<Facts> states_;
    std::unordered_multimap<uint64_t, State> state_ids_; // by hash of the stacks
    std::unordered_map<uint64_t, std::unique_ptr<const Admitted>> admitted_; // by state and partial character
    size_t size_bytes_ = 0;
};

} // namespace la
