#include "channel/channel.h"

namespace la {

// Offsets are 32 bits wide: past this a drain stops and the rest waits for the next one.
static constexpr size_t k_max_blob = size_t(1) << 30;

void append_part(std::vector<AnswerPart> & parts, AnswerPart part) {
    if (!parts.empty()) {
        auto & last = parts.back();
        // A call's first part has its name: what follows belongs to it, but it belongs to nothing before.
        if (last.kind == part.kind && last.index == part.index && part.id.empty() && part.name.empty()) {
            last.text += part.text;
            return;
        }
    }
    parts.push_back(std::move(part));
}

void Channel::enqueue(const std::shared_ptr<Mailbox> & mailbox) {
    if (!mailbox->queued) {
        mailbox->queued = true;
        ready_.push_back(mailbox);
    }
}

void Channel::post_delta(const std::shared_ptr<Mailbox> & mailbox, int32_t choice, std::string_view text,
                         std::string_view aux, int32_t n_tokens, la_finish finish) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto & box = choice < 0 ? mailbox->prompt : mailbox->choices[choice];
    box.text.append(text);
    box.aux.append(aux);
    box.n_tokens += n_tokens;
    box.finish = finish;
    box.waiting = true;
    enqueue(mailbox);
}

void Channel::post_parts(const std::shared_ptr<Mailbox> & mailbox, int32_t choice, std::vector<AnswerPart> & parts) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto & box = mailbox->choices[choice];
    for (auto & part : parts) {
        append_part(box.parts, std::move(part));
    }
    parts.clear();
}

void Channel::post_end(const std::shared_ptr<Mailbox> & mailbox, End end) {
    const std::lock_guard<std::mutex> lock(mutex_);
    mailbox->ended = true;
    mailbox->end = std::move(end);
    ++n_ended_;
    enqueue(mailbox);
}

void Channel::post_engine(la_record_kind kind, la_status status, std::string message, std::string param,
                          int32_t n_tokens) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (kind == LA_RECORD_LOADING && !engine_records_.empty() && engine_records_.back().kind == LA_RECORD_LOADING) {
        engine_records_.back().n_tokens = n_tokens;
        return;
    }
    engine_records_.push_back({ kind, status, std::move(message), std::move(param), n_tokens });
}

void Channel::wake() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (ready_.empty() && engine_records_.empty()) {
            return;
        }
    }
    waker_.wake();
}

uint64_t Channel::n_ended() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return n_ended_;
}

void Channel::drain(la_drained & out) {
    records_.clear();
    blob_.clear();
    waker_.clear();
    bool more = false;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        while (!ready_.empty() && blob_.size() < k_max_blob) {
            auto mailbox = std::move(ready_.front());
            ready_.pop_front();
            take(*mailbox);
        }
        more = !ready_.empty();
        // After the requests' records: CLOSED is the last of all.
        while (!more && !engine_records_.empty()) {
            const auto & from = engine_records_.front();
            auto & record = add_record(from.kind, 0);
            record.status = from.status;
            record.n_tokens = from.n_tokens;
            add_blob(from.message, record.text_offset, record.text_size);
            add_blob(from.param, record.aux_offset, record.aux_size);
            engine_records_.pop_front();
        }
    }
    if (more) {
        waker_.wake();
    }
    out = {};
    out.records = records_.data();
    out.n_records = records_.size();
    out.blob = blob_.data();
    out.blob_size = blob_.size();
}

void Channel::take(const Mailbox & mailbox, int32_t choice, Mailbox::Choice & box) {
    if (!box.waiting) {
        return;
    }
    const bool only_parts = !box.parts.empty() && box.text.empty() && box.aux.empty() && box.finish == LA_FINISH_NONE;
    take_parts(mailbox.id, choice, box.parts);
    if (only_parts) {
        records_.back().n_tokens = box.n_tokens;
        box.n_tokens = 0;
        box.waiting = false;
        return;
    }
    auto & record = add_record(LA_RECORD_DELTA, mailbox.id);
    record.choice = choice;
    record.finish = box.finish;
    record.n_tokens = box.n_tokens;
    add_blob(box.text, record.text_offset, record.text_size);
    add_blob(box.aux, record.aux_offset, record.aux_size);
    box.text.clear();
    box.aux.clear();
    box.n_tokens = 0;
    box.waiting = false;
}

void Channel::take_parts(uint64_t request, int32_t choice, std::vector<AnswerPart> & parts) {
    for (const auto & part : parts) {
        auto & record = add_record(part.kind == AnswerPart::content     ? LA_RECORD_DELTA
                                   : part.kind == AnswerPart::reasoning ? LA_RECORD_REASONING
                                                                        : LA_RECORD_TOOL_CALL,
                                   request);
        record.choice = choice;
        record.n_prompt = part.index;
        add_blob(part.text, record.text_offset, record.text_size);
        if (!part.id.empty() || !part.name.empty()) {
            add_blob(part.id + '\0' + part.name, record.aux_offset, record.aux_size);
        }
    }
    parts.clear();
}

void Channel::take(Mailbox & mailbox) {
    mailbox.queued = false;
    take(mailbox, -1, mailbox.prompt);
    for (size_t i = 0; i < mailbox.choices.size(); ++i) {
        take(mailbox, static_cast<int32_t>(i), mailbox.choices[i]);
    }
    if (mailbox.ended) {
        const auto & end = mailbox.end;
        auto & record = add_record(LA_RECORD_END, mailbox.id);
        record.status = end.status;
        record.n_prompt = end.n_prompt;
        record.n_cached = end.n_cached;
        record.n_generated = end.n_generated;
        record.n_tokens = end.n_reasoning;
        record.prompt_ms = end.prompt_ms;
        record.decode_ms = end.decode_ms;
        add_blob(end.message, record.text_offset, record.text_size);
        add_blob(end.has_predicted ? std::string_view(reinterpret_cast<const char *>(&end.predicted), sizeof(end.predicted))
                                   : std::string_view(end.param),
                 record.aux_offset, record.aux_size);
    }
}

la_record & Channel::add_record(la_record_kind kind, uint64_t request) {
    records_.emplace_back();
    auto & record = records_.back();
    record = {};
    record.kind = kind;
    record.request = request;
    return record;
}

void Channel::add_blob(std::string_view bytes, uint32_t & offset, uint32_t & size) {
    offset = static_cast<uint32_t>(blob_.size());
    size = static_cast<uint32_t>(bytes.size());
    blob_.append(bytes);
}

} // namespace la
