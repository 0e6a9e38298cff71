// Follows an object in JSON while it grows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace la {

// Knows where the object ends, and takes nothing that is no JSON. Copied to look ahead. Pure.
class JsonRun {
  public:
    // Takes one byte more, the first of them '{'. False, and of no use any more, if the object does not go on with it.
    bool push(char c);

    bool ended() const { return open_.empty() && state_ == State::behind; }
    // Whether it does not end in the middle of an escape.
    bool settled() const { return state_ != State::escape && state_ != State::hex; }
    // Takes so much, if the object goes on with all of it and does not end.
    bool push_open(std::string_view text);

  private:
    enum class State {
        begin,
        value,        // one has to come
        first_value,  // or the list ends
        name,         // a key has to come
        first_name,   // or the object ends
        colon,
        behind, // a value: a comma, or the end of what it stands in
        text,
        escape,
        hex,
        word, // a number, true, false, null
    };

    bool begin_value(char c);
    bool end_value(char c);

    State state_ = State::begin;
    std::vector<char> open_;
    bool key_ = false; // the text is one
    int n_hex_ = 0;
    std::string word_;
};

} // namespace la
