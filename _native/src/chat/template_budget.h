// What a chat template may use up: work, time, text, values and depth.
//
// Upstream's template engine has no limits of its own. The copy of it that is compiled (llama.cpp/patches) asks here at its
// choke points, so a template without end, wherever it came from, ends as an error of the one request.
//
// Header only: upstream's library, which is linked before ours, includes it too. Everything is of the calling thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(_MSC_VER)
#    include <intrin.h>
#endif

#if defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#        define LA_LARGE_FRAMES
#    endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define LA_LARGE_FRAMES
#endif

namespace la {

struct TemplateLimits {
    // Some nanoseconds each, but counted: the same template with the same messages ends alike everywhere.
    static constexpr uint64_t k_work = 1'000'000'000;
    static constexpr double k_seconds = 5;
    // Made in all, not held at once. A conversation is copied some dozen times on its way through a template.
    static constexpr uint64_t k_text_bytes = 128 << 20;
    static constexpr uint64_t k_text_factor = 128; // more for each byte of the request
    static constexpr size_t k_values = 500'000;    // held at once, some 250 bytes each
    static constexpr int k_depth = 400;            // of the syntax, of what runs, and of values in values
    static constexpr size_t k_source_bytes = 256 << 10;
    // One block's syntax tree leans to one side as far as this, and is taken down by recursion.
    static constexpr size_t k_block_tokens = 4000;
#if defined(LA_LARGE_FRAMES)
    static constexpr size_t k_stack_bytes = 5 << 20; // frames are several times as large
#elif defined(__GLIBC__)
    static constexpr size_t k_stack_bytes = 2 << 20; // threads have 8 MiB
#else
    static constexpr size_t k_stack_bytes = 256 << 10; // 512 KiB on macOS, 1 MiB on Windows
#endif
};

class TemplateLimitError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class TemplateBudget;

// Base of the engine's values: a list of all that live, for their number and to take cycles of them apart.
class TemplateValue {
  public:
    TemplateValue();
    TemplateValue(const TemplateValue &) : TemplateValue() {}
    TemplateValue & operator=(const TemplateValue &) { return *this; }
    virtual ~TemplateValue() { unlink(); }

  protected:
    // Gives up the other values that it holds.
    virtual void release() = 0;

  private:
    friend class TemplateBudget;
    void unlink();

    TemplateValue * previous_ = nullptr;
    TemplateValue * next_ = nullptr;
};

// While one lives, templates on this thread share its limits; an inner one has no effect. Without any, only the depth is
// limited.
class TemplateBudget {
  public:
    // `n_input_bytes`: of what the templates get to write out.
    explicit TemplateBudget(size_t n_input_bytes = 0, uint64_t n_work = TemplateLimits::k_work)
        : n_work_most_(n_work), n_text_(TemplateLimits::k_text_bytes + TemplateLimits::k_text_factor * n_input_bytes), n_text_left_(n_text_),
          end_s_(thread_s() + TemplateLimits::k_seconds),
          outer_(state().budget) {
        if (!outer_) {
            state().budget = this;
        }
    }
    ~TemplateBudget() {
        if (outer_) {
            return;
        }
        // No value outlives its render but those that hold each other.
        while (first_) {
            TemplateValue * value = first_;
            value->unlink();
            value->release();
        }
        state().budget = nullptr;
    }
    TemplateBudget(const TemplateBudget &) = delete;
    TemplateBudget & operator=(const TemplateBudget &) = delete;

    // The limit that was met meanwhile, "" for none: upstream's analysis of a template takes errors for answers, and wraps
    // others in where they happened.
    const std::string & reason() const { return outer_ ? outer_->reason_ : reason_; }

    static void work(uint64_t n) {
        if (TemplateBudget * budget = state().budget) {
            budget->n_work_ += n;
            if (budget->n_work_ >= budget->next_look_) {
                budget->look();
            }
        }
    }
    static void text(uint64_t n_bytes) {
        if (TemplateBudget * budget = state().budget) {
            if (n_bytes > budget->n_text_left_) {
                budget->exceed("makes more text than the limit of " + std::to_string(budget->n_text_) + " bytes");
            }
            budget->n_text_left_ -= n_bytes;
        }
        work(n_bytes / 8);
    }
    // A function's result by its size: the engine copies lists and texts as a whole.
    template <typename Value> static Value weighed(Value value) {
        if (value && state().budget) {
            text(value->val_str.length() + 64 * value->val_str.parts.size() + 16 * value->val_arr.size() +
                 64 * value->val_obj.size());
        }
        return value;
    }
    static void check_source(size_t n_bytes) {
        if (n_bytes > TemplateLimits::k_source_bytes) {
            refuse("is " + std::to_string(n_bytes) + " bytes long, the limit is " +
                   std::to_string(TemplateLimits::k_source_bytes));
        }
    }
    template <typename Token> static void check_tokens(const std::vector<Token> & tokens);

  private:
    friend class TemplateValue;
    friend class TemplateNest;
    friend class SoftTemplateNest;

    // Of computing: on a machine that is busy otherwise a second of a conversation may take ten.
    static double thread_s() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
        timespec now = {};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#else
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#endif
    }

    struct State {
        TemplateBudget * budget;
        int depth;
    };
    static State & state() {
        static thread_local State one = { nullptr, 0 };
        return one;
    }

    [[noreturn]] void exceed(std::string what) {
        if (reason_.empty()) {
            reason_ = std::move(what);
        }
        next_look_ = 0; // from now on every step ends so
        throw TemplateLimitError(reason_);
    }
    [[noreturn]] static void refuse(const std::string & what) {
        if (TemplateBudget * budget = state().budget) {
            budget->exceed(what);
        }
        throw TemplateLimitError(what);
    }
    // Every some microseconds.
    void look() {
        if (!reason_.empty()) {
            throw TemplateLimitError(reason_);
        }
        if (n_work_ > n_work_most_) {
            exceed("takes more work than the limit of " + std::to_string(n_work_most_) + " steps");
        }
        if (thread_s() > end_s_) {
            exceed("runs longer than " + std::to_string(static_cast<int>(TemplateLimits::k_seconds)) + " s");
        }
        next_look_ = n_work_ + 50'000;
    }
    bool is_deep() const {
        const uintptr_t here = frame();
        return (here < base_ ? base_ - here : here - base_) > TemplateLimits::k_stack_bytes;
    }
    static uintptr_t frame() {
#if defined(_MSC_VER)
        return reinterpret_cast<uintptr_t>(_AddressOfReturnAddress());
#else
        return reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
#endif
    }

    const uint64_t n_work_most_;
    uint64_t n_work_ = 0;
    uint64_t next_look_ = 0;
    const uint64_t n_text_;
    uint64_t n_text_left_;
    size_t n_values_ = 0;
    TemplateValue * first_ = nullptr;
    double end_s_;
    std::string reason_;
    TemplateBudget * outer_;
    uintptr_t base_ = frame();
};

// One level of recursion. Throws TemplateLimitError.
class TemplateNest {
  public:
    explicit TemplateNest(uint64_t n_work = 20) {
        auto & state = TemplateBudget::state();
        TemplateBudget::work(n_work);
        if (state.depth >= TemplateLimits::k_depth || (state.budget && state.budget->is_deep())) {
            TemplateBudget::refuse("nests deeper than " + std::to_string(TemplateLimits::k_depth) + " levels");
        }
        ++state.depth;
    }
    ~TemplateNest() { --TemplateBudget::state().depth; }
    TemplateNest(const TemplateNest &) = delete;
    TemplateNest & operator=(const TemplateNest &) = delete;
};

// The same where nothing may be thrown: says whether to go on. The next step throws.
class SoftTemplateNest {
  public:
    SoftTemplateNest() noexcept : inside_(enter()) {}
    ~SoftTemplateNest() {
        if (inside_) {
            --TemplateBudget::state().depth;
        }
    }
    SoftTemplateNest(const SoftTemplateNest &) = delete;
    SoftTemplateNest & operator=(const SoftTemplateNest &) = delete;
    explicit operator bool() const { return inside_; }

  private:
    static bool enter() noexcept {
        auto & state = TemplateBudget::state();
        if (state.depth >= TemplateLimits::k_depth) {
            return false;
        }
        if (state.budget) {
            try {
                TemplateBudget::work(20);
            } catch (const TemplateLimitError &) {
                return false;
            }
        }
        ++state.depth;
        return true;
    }

    bool inside_;
};

inline TemplateValue::TemplateValue() {
    if (TemplateBudget * budget = TemplateBudget::state().budget) {
        if (budget->n_values_ >= TemplateLimits::k_values) {
            budget->exceed("holds more than " + std::to_string(TemplateLimits::k_values) + " values");
        }
        ++budget->n_values_;
        next_ = budget->first_;
        previous_ = this; // marks it as one of the list
        if (next_) {
            next_->previous_ = this;
        }
        budget->first_ = this;
    }
}

inline void TemplateValue::unlink() {
    TemplateBudget * budget = TemplateBudget::state().budget;
    if (!previous_ || !budget) {
        return;
    }
    if (budget->first_ == this) {
        budget->first_ = next_;
    } else {
        previous_->next_ = next_;
    }
    if (next_) {
        next_->previous_ = previous_ == this ? next_ : previous_;
    }
    previous_ = next_ = nullptr;
    --budget->n_values_;
}

// Destroys what a value holds, one after another instead of one inside the other: a list in a list in a list ... would use
// up the stack.
template <typename Value>
void release_template_values(std::vector<Value> & items, std::vector<std::pair<Value, Value>> & pairs) {
    static thread_local std::vector<Value> pending;
    static thread_local bool busy = false;
    const auto keep = [](Value & value) {
        if (value && value.use_count() == 1) {
            pending.push_back(std::move(value));
        }
    };
    if (items.empty() && pairs.empty()) {
        return; // most values
    }
    {
        // Taken out first: their end may be that of the value that held them.
        auto held_items = std::move(items);
        auto held_pairs = std::move(pairs);
        for (auto & item : held_items) {
            keep(item);
        }
        for (auto & [key, value] : held_pairs) {
            keep(key);
            keep(value);
        }
    }
    if (busy) {
        return;
    }
    busy = true;
    while (!pending.empty()) {
        const Value last = std::move(pending.back());
        pending.pop_back();
    }
    busy = false;
}

// What the parser cannot see as one: a block too long for the recursion that takes its tree down, and a name of Python's
// own that no template needs but one that looks for a way out of Jinja2's sandbox.
template <typename Token> void TemplateBudget::check_tokens(const std::vector<Token> & tokens) {
    size_t n_block = 0;
    for (const auto & token : tokens) {
        n_block = token.t == Token::open_statement || token.t == Token::open_expression ? 0 : n_block + 1;
        if (n_block > TemplateLimits::k_block_tokens) {
            refuse("has a block of more than " + std::to_string(TemplateLimits::k_block_tokens) + " tokens");
        }
        const std::string & name = token.value;
        const bool named = token.t == Token::identifier || token.t == Token::string_literal;
        if (named && name.size() > 4 && name.compare(0, 2, "__") == 0 && name.compare(name.size() - 2, 2, "__") == 0) {
            refuse("is not safe: it names " + name.substr(0, 40));
        }
    }
}

} // namespace la
