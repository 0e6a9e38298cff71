// A parser of upstream's in the form in which it is saved, to be looked through and changed.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace la {

// Upstream's arenas cannot be changed, but what they are saved as can. Not thread-safe.
class SavedParser {
  public:
    using Id = size_t;

    explicit SavedParser(const std::string & saved);

    const nlohmann::ordered_json & node(Id id) const { return saved_["parsers"][id]; }
    nlohmann::ordered_json & node(Id id) { return saved_["parsers"][id]; }
    size_t size() const { return saved_["parsers"].size(); }
    Id root() const { return saved_["root"].get<Id>(); }
    std::string save() const { return saved_.dump(); }

    Id add(nlohmann::ordered_json node);

    bool is(Id id, const char * type) const { return node(id)["type"] == type; }
    bool is_tag(Id id, const char * tag) const { return is(id, "tag") && node(id)["tag"] == tag; }

    std::vector<Id> children(Id id) const;

    // In order, `id` first. Below one that `visit` refuses nothing is visited.
    template <typename F> void walk(Id id, F && visit) const {
        std::set<Id> seen;
        walk(id, seen, visit);
    }

    // All below `id` for which `wanted` holds, those inside of one another left out.
    template <typename F> std::vector<Id> outermost(Id id, F && wanted) const {
        std::vector<Id> found;
        walk(id, [&](Id at) {
            if (at != id && wanted(at)) {
                found.push_back(at);
                return false;
            }
            return true;
        });
        return found;
    }

    template <typename F> bool any(Id id, F && wanted) const {
        bool found = false;
        walk(id, [&](Id at) {
            found = found || wanted(at);
            return !found;
        });
        return found;
    }

    // The first literal below `id`.
    std::string text(Id id) const;

    // The rule that `id` stands in.
    std::optional<Id> rule_around(Id id) const;

    // A parser of any JSON.
    Id any_json();

  private:
    template <typename F> void walk(Id id, std::set<Id> & seen, F && visit) const {
        if (!seen.insert(id).second || !visit(id)) {
            return;
        }
        for (const Id child : children(id)) {
            walk(child, seen, visit);
        }
    }

    // Of what the root leads to: the builder leaves unused sequences behind.
    void find_parents();

    nlohmann::ordered_json saved_;
    std::map<Id, Id> parents_; // one each
    std::optional<Id> any_json_;
};

} // namespace la
