// A model's raw text -> content, reasoning and tool calls, while it is generated.
#pragma once

#include "channel/part.h"
#include "chat/json_run.h"

#include "chat.h" // common's

#include "llama.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace la {

// How the answers to one request are to be read. Shared by its choices, never changed.
struct AnswerFormat {
    common_chat_parser_params parser;
    // Control tokens that carry meaning for the parser: their text is part of the raw text.
    std::unordered_map<llama_token, std::string> preserved;
    // Whether calls are read: then text may nest like JSON, and upstream's parser recurses along.
    bool calls = false;
    // The model writes a call's id behind its arguments, where it writes one: a call is then certain when it is whole.
    bool late_ids = false;
};

// What free text ends before, as far as this parser looks for such.
std::vector<std::string> marks_of(const common_peg_arena & parser);

// Whether calls of this parser have their id behind their arguments.
bool has_late_ids(const common_peg_arena & parser);

using AnswerFormatPtr = std::shared_ptr<const AnswerFormat>;

// One answer. Not thread-safe.
//
// Upstream's parser reads the whole text each time. What an update costs is therefore held against the time that passes:
// a stream is parsed at most 0.5% of the time, that is with every token while the answer is short, and every 50 ms when it
// has 30 kB. Where a text or a thinking has begun, nothing is parsed until a mark that could end it is there; where the
// arguments of a call stand as JSON in the text, nothing until they end.
class AnswerParser {
  public:
    using MakeId = std::function<std::string()>;

    explicit AnswerParser(AnswerFormatPtr format, MakeId make_id = {});

    // One more token's text, which may be empty.
    void push(std::string_view text);
    // Whether an update is worth its time at `now` (seconds).
    bool due(double now) const { return now >= next_s_ || running_ != Running::nothing; }

    // Appends what has become certain since the last update; after the final one all of it has. Text that the parser
    // does not expect comes as content, with a warning in the log: nothing is ever lost. Never throws but for want of
    // memory.
    void update(bool final, std::vector<AnswerPart> & parts);

    const std::string & raw() const { return raw_; }
    bool has_calls() const { return !sent_.tool_calls.empty(); }
    // Tokens up to the end of the reasoning. After the final update.
    int32_t n_reasoning() const;
    // Tokens whose text begins in this part of raw().
    int32_t n_tokens(size_t from, size_t to) const;

  private:
    bool parse(const std::string & text, bool final, common_chat_msg & message) const;
    bool parse_trimmed(common_chat_msg & message) const;
    bool run_on(std::vector<AnswerPart> & parts);
    void see_whether_running();
    bool text_runs(std::string common_chat_msg::* kind) const;
    bool arguments_run();
    size_t end_of_run() const;
    size_t end_of_json(size_t end);
    void send(const common_chat_msg & message, bool final, std::vector<AnswerPart> & parts);
    void send_text(AnswerPart::Kind kind, const std::string & now, std::string & sent, std::vector<AnswerPart> & parts);
    bool send_call(size_t index, const common_chat_msg & message, bool final, std::vector<AnswerPart> & parts);
    bool fits(const common_chat_msg & message) const;
    void send_rest(size_t from, std::vector<AnswerPart> & parts);
    // How much of the first `n_bytes` of the raw text what is out already ends with, and how much the parser can read.
    struct Reach {
        size_t said;
        size_t read;
    };
    Reach reach(size_t n_bytes) const;

    const AnswerFormatPtr format_;
    const MakeId make_id_;
    std::string raw_;
    std::vector<size_t> token_ends_; // in raw_
    common_chat_msg sent_;           // handed out so far, a continued message's beginning included
    size_t n_before_ = 0;            // bytes of sent_.reasoning_content that were not generated here
    size_t n_sent_ = 0;              // bytes of raw_ when sent_ was last brought up to date
    double next_s_ = 0;
    const std::vector<std::string> marks_; // that end free text
    // What is said now goes on as it is: all of it is out but white space and half a mark, or half an escape, at its end.
    enum class Running { nothing, content, reasoning, arguments };
    Running running_ = Running::nothing;
    JsonRun json_; // of running arguments, up to n_sent_
    // Nesting outside of strings, for the limit on it.
    int depth_ = 0;
    bool too_deep_ = false;
};

} // namespace la
