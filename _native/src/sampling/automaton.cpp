#include "sampling/automaton.h"

#include "base/error.h"
#include "sampling/grammar_budget.h"

#include <algorithm>

namespace la {

namespace {

constexpr Automaton::State k_unknown = UINT32_MAX;
constexpr size_t k_max_bytes = size_t(64) << 20; // a single step may not take more
constexpr size_t k_max_stacks = 10000;

[[noreturn]] void refuse() {
    throw Error(LA_ERR_GRAMMAR, "grammar leaves too many ways open to go on: it is too ambiguous", "grammar");
}

uint64_t hash_of(const std::vector<uint32_t> & numbers) {
    uint64_t hash = 14695981039346656037u;
    for (const uint32_t number : numbers) {
        hash = (hash ^ number) * 1099511628211u;
    }
    return hash;
}

// A character that has begun has 16 bits so far, and at most 3 bytes to come.
uint64_t key_of(const Automaton::Position & position) {
    return uint64_t(position.state) << 32 | uint64_t(position.partial.n_remain) << 28 |
           (position.partial.n_remain > 0 ? position.partial.value : 0);
}

} // namespace

Admitted::Admitted(std::vector<llama_token> tokens, int32_t n_vocab) : size_(tokens.size()) {
    if (tokens.size() * 32 <= static_cast<size_t>(n_vocab)) {
        std::sort(tokens.begin(), tokens.end());
        list_ = std::move(tokens);
        list_.shrink_to_fit();
        return;
    }
    bits_.resize((static_cast<size_t>(n_vocab) + 63) / 64);
    for (const llama_token token : tokens) {
        bits_[static_cast<size_t>(token) / 64] |= uint64_t(1) << (token % 64);
    }
}

bool Admitted::has(llama_token token) const {
    if (bits_.empty()) {
        return std::binary_search(list_.begin(), list_.end(), token);
    }
    return (bits_[static_cast<size_t>(token) / 64] >> (token % 64) & 1) != 0;
}

Automaton::Automaton(GrammarRulesPtr rules, VocabularyPtr vocabulary)
    : rules_(std::move(rules)), vocabulary_(std::move(vocabulary)) {
    for (const uint32_t c : vocabulary_->characters()) {
        classes_.push_back(rules_->class_of(c));
    }
    links_.push_back({ 0, 0 });
    seen_.push_back(0);
    states_.push_back({}); // k_dead
    states_[k_dead].next.assign(rules_->n_classes(), k_dead);
}

void Automaton::grow(size_t n_bytes) {
    size_bytes_ += n_bytes;
    if (size_bytes_ > k_max_bytes) {
        refuse();
    }
}

// -- stacks -----------------------------------------------------------------------------------------------------------

Automaton::Stack Automaton::push(uint32_t position, Stack rest) {
    const auto [place, added] =
        link_ids_.emplace(uint64_t(position) << 32 | rest, static_cast<Stack>(links_.size()));
    if (added) {
        grow(64);
        links_.push_back({ position, rest });
        seen_.push_back(0);
    }
    return place->second;
}

void Automaton::open(uint32_t position, Stack rest, std::vector<Stack> & stacks) {
    std::vector<Stack> open = { rules_->ends(position) ? rest : push(position, rest) };
    const uint64_t now = ++n_opened_;
    size_t n_seen = 0;
    while (!open.empty()) {
        GrammarStep::work(1);
        const Stack stack = open.back();
        open.pop_back();
        const Link top = links_[stack];
        if (stack == 0 || rules_->at(top.position).type != GrammarRules::Type::rule) {
            stacks.push_back(stack);
            continue;
        }
        // What comes behind the rule is left out where it is the last of its own: so right recursion does not pile up.
        const Stack behind = rules_->ends(top.position + 1) ? top.rest : push(top.position + 1, top.rest);
        for (uint32_t at = rules_->rule(rules_->at(top.position).value);; ++at) {
            const Stack alternative = rules_->ends(at) ? behind : push(at, behind);
            if (seen_[alternative] != now) {
                seen_[alternative] = now;
                open.push_back(alternative);
                if (++n_seen > k_max_stacks) {
                    refuse();
                }
            }
            while (!rules_->ends(at)) {
                ++at;
            }
            if (rules_->at(at).type == GrammarRules::Type::end) {
                break;
            }
        }
    }
}

Automaton::State Automaton::state_of(std::vector<Stack> stacks) {
    if (stacks.empty()) {
        return k_dead;
    }
    std::sort(stacks.begin(), stacks.end());
    stacks.erase(std::unique(stacks.begin(), stacks.end()), stacks.end());
    if (stacks.size() > k_max_stacks) {
        refuse();
    }
    const uint64_t hash = hash_of(stacks);
    const auto [first, last] = state_ids_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
        if (states_[it->second].stacks == stacks) {
            return it->second;
        }
    }
    Facts facts;
    for (const Stack stack : stacks) {
        facts.can_end = facts.can_end || stack == 0;
        const auto type = rules_->at(links_[stack].position).type;
        facts.has_tokens = facts.has_tokens || (stack != 0 && (type == GrammarRules::Type::token ||
                                                               type == GrammarRules::Type::not_token));
    }
    facts.stacks = std::move(stacks);
    facts.next.assign(rules_->n_classes(), k_unknown);
    grow(sizeof(Facts) + 64 + (facts.stacks.size() + facts.next.size()) * sizeof(uint32_t));
    const auto state = static_cast<State>(states_.size());
    states_.push_back(std::move(facts));
    state_ids_.emplace(hash, state);
    return state;
}

Automaton::Position Automaton::start() {
    std::vector<Stack> stacks;
    for (uint32_t at = rules_->rule(rules_->root());; ++at) {
        open(at, 0, stacks);
        while (!rules_->ends(at)) {
            ++at;
        }
        if (rules_->at(at).type == GrammarRules::Type::end) {
            break;
        }
    }
    return { state_of(std::move(stacks)), {} };
}

Automaton::Position Automaton::import(const Told & told) {
    std::vector<Stack> stacks;
    for (const auto & positions : told.stacks) {
        Stack stack = 0;
        for (const uint32_t position : positions) {
            stack = push(position, stack);
        }
        stacks.push_back(stack);
    }
    return { state_of(std::move(stacks)), told.partial };
}

Automaton::Told Automaton::tell(const Position & position) const {
    Told told = { {}, position.partial };
    for (Stack stack : states_[position.state].stacks) {
        auto & positions = told.stacks.emplace_back();
        for (; stack != 0; stack = links_[stack].rest) {
            positions.push_back(links_[stack].position);
        }
        std::reverse(positions.begin(), positions.end());
    }
    return told;
}

// -- steps ------------------------------------------------------------------------------------------------------------

Automaton::State Automaton::next(State from, uint32_t char_class) {
    const State known = states_[from].next[char_class];
    if (known != k_unknown) {
        return known;
    }
    const uint32_t c = rules_->example(char_class);
    GrammarStep::work(states_[from].stacks.size());
    std::vector<Stack> stacks;
    for (size_t i = 0; i < states_[from].stacks.size(); ++i) {
        const Stack stack = states_[from].stacks[i];
        if (stack != 0 && rules_->matches(links_[stack].position, c)) {
            open(rules_->behind(links_[stack].position), links_[stack].rest, stacks);
        }
    }
    const State to = state_of(std::move(stacks));
    states_[from].next[char_class] = to;
    return to;
}

Automaton::State Automaton::follow(State from, const std::vector<uint32_t> & chars) {
    for (const uint32_t c : chars) {
        from = next(from, rules_->class_of(c));
    }
    return from;
}

bool Automaton::admits_partial(State state, PartialChar partial) const {
    uint32_t low = 0;
    uint32_t high = 0;
    if (!range_of(partial, low, high)) {
        return false;
    }
    const auto & stacks = states_[state].stacks;
    return std::any_of(stacks.begin(), stacks.end(), [&](Stack stack) {
        const auto type = rules_->at(links_[stack].position).type;
        return stack != 0 && type != GrammarRules::Type::token && type != GrammarRules::Type::not_token &&
               rules_->matches_any(links_[stack].position, low, high);
    });
}

Automaton::Position Automaton::accept(const Position & from, llama_token token, std::string_view text) {
    const GrammarStep step(GrammarStep::k_accept_work);
    const DecodedPiece decoded = decode_piece(text, from.partial);
    if (decoded.partial.n_remain < 0) {
        return {};
    }
    const bool has_tokens = states_[from.state].has_tokens;
    State to = from.state;
    if (!decoded.chars.empty() || !has_tokens) {
        to = follow(from.state, decoded.chars);
    }
    if (has_tokens) {
        std::vector<Stack> stacks;
        for (size_t i = 0; i < states_[from.state].stacks.size(); ++i) {
            const Stack stack = states_[from.state].stacks[i];
            const Link top = links_[stack];
            const auto element = rules_->at(top.position);
            const bool is_token = element.type == GrammarRules::Type::token;
            if (stack == 0 || (!is_token && element.type != GrammarRules::Type::not_token)) {
                if (decoded.chars.empty()) {
                    stacks.push_back(stack); // within a character nothing moves
                }
            } else if ((element.value == static_cast<uint32_t>(token)) == is_token) {
                open(top.position + 1, top.rest, stacks);
            }
        }
        if (!decoded.chars.empty()) {
            stacks.insert(stacks.end(), states_[to].stacks.begin(), states_[to].stacks.end());
        }
        to = state_of(std::move(stacks));
    }
    return { to, decoded.partial };
}

// -- what is admitted -------------------------------------------------------------------------------------------------

// Not within a character, where upstream sometimes lets an answer end.
bool Automaton::can_end(const Position & position) const {
    return position.partial.n_remain == 0 && states_[position.state].can_end;
}

const Admitted * Automaton::known(const Position & position) const {
    const auto found = admitted_.find(key_of(position));
    return found == admitted_.end() ? nullptr : found->second.get();
}

const Admitted & Automaton::admitted(const Position & position) {
    if (const auto * found = known(position)) {
        return *found;
    }
    const GrammarStep step(GrammarStep::k_mask_work);
    auto tokens = position.partial.n_remain > 0 ? admitted_within_char(position) : admitted_between_chars(position.state);
    if (can_end(position)) {
        tokens.insert(tokens.end(), vocabulary_->ends().begin(), vocabulary_->ends().end());
    }
    auto admitted = std::make_unique<const Admitted>(std::move(tokens), vocabulary_->n_tokens());
    grow(admitted->size_bytes() + 64);
    return *admitted_.emplace(key_of(position), std::move(admitted)).first->second;
}

std::vector<llama_token> Automaton::admitted_between_chars(State state) {
    std::vector<llama_token> tokens;
    const auto & nodes = vocabulary_->nodes();
    const auto & ends = vocabulary_->tokens();
    std::vector<State> at = { state }; // by depth
    for (uint32_t i = 0; i + 1 < nodes.size();) {
        const auto & node = nodes[i];
        GrammarStep::work(1);
        State here = state;
        if (node.depth > 0) {
            here = next(at[node.depth - 1], classes_[node.character]);
            if (here == k_dead) {
                i = node.skip;
                continue;
            }
            if (at.size() <= node.depth) {
                at.resize(node.depth + 1);
            }
            at[node.depth] = here;
        }
        for (uint32_t end = node.first_token; end < nodes[i + 1].first_token; ++end) {
            const auto & token = ends[end];
            if (token.partial.n_remain == 0 ? node.depth > 0 : admits_partial(here, token.partial)) {
                tokens.push_back(token.id);
            }
        }
        ++i;
    }
    if (states_[state].has_tokens) {
        // Rare, and single tokens mostly: all are asked.
        for (const auto & token : ends) {
            const auto & stacks = states_[state].stacks;
            const bool named = std::any_of(stacks.begin(), stacks.end(), [&](Stack stack) {
                const auto & element = rules_->at(links_[stack].position);
                const bool same = element.value == static_cast<uint32_t>(token.id);
                return stack != 0 && ((element.type == GrammarRules::Type::token && same) ||
                                      (element.type == GrammarRules::Type::not_token && !same));
            });
            if (named && &token >= ends.data() + nodes[1].first_token) {
                tokens.push_back(token.id); // tokens without a whole character spell no token, says upstream
            }
        }
        std::sort(tokens.begin(), tokens.end());
        tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    }
    return tokens;
}

std::vector<llama_token> Automaton::admitted_within_char(const Position & position) {
    std::vector<llama_token> tokens;
    for (const llama_token token : vocabulary_->continuations()) {
        if (admits(position, token)) {
            tokens.push_back(token);
        }
    }
    return tokens;
}

bool Automaton::admits(const Position & position, llama_token token) {
    if (vocabulary_->is_end(token)) {
        return can_end(position);
    }
    if (const auto * all = known(position)) {
        return all->has(token);
    }
    const std::string piece = vocabulary_->piece(token);
    if (piece.empty() || piece[0] == '\0') {
        return false;
    }
    const DecodedPiece decoded = decode_piece(piece, position.partial);
    if (decoded.chars.empty() || decoded.partial.n_remain < 0) {
        return admits_partial(position.state, decoded.partial);
    }
    const Position to = accept(position, token, piece);
    if (to.state == k_dead) {
        return false;
    }
    return decoded.partial.n_remain == 0 || admits_partial(to.state, decoded.partial);
}

} // namespace la
