// Upstream lets a context share another one's cache only to read it, and only for drafts of some architectures. Here the
// memory of a context is replaced by one that hands everything on. A batch's cells are found and marked before its graph
// is computed (llama_memory_context_i), so what happens meanwhile to other streams does not matter to it.

#include "borrowed_memory.h"

#include "llama-context.h"
#include "llama-memory.h"

#include <memory>

namespace {

// Names a private member: an explicit instantiation may.
template <typename Tag, auto Member> struct Opened {
    friend auto member(Tag) { return Member; }
};

struct MemoryTag {
    friend auto member(MemoryTag);
};
struct ParametersTag {
    friend auto member(ParametersTag);
};
struct NeedsReserveTag {
    friend auto member(NeedsReserveTag);
};

template struct Opened<MemoryTag, &llama_context::memory>;
template struct Opened<ParametersTag, &llama_context::cparams>;
template struct Opened<NeedsReserveTag, &llama_context::sched_need_reserve>;

class BorrowedMemory : public llama_memory_i {
  public:
    explicit BorrowedMemory(llama_memory_i & owner) : owner_(owner) {}

    llama_memory_context_ptr init_batch(llama_batch_allocr & balloc, uint32_t n_ubatch, bool embd_all) override {
        return owner_.init_batch(balloc, n_ubatch, embd_all);
    }
    llama_memory_context_ptr init_full() override { return owner_.init_full(); }
    llama_memory_context_ptr init_update(llama_context * ctx, bool optimize) override {
        return owner_.init_update(ctx, optimize);
    }
    bool get_can_shift() const override { return owner_.get_can_shift(); }
    void clear(bool data) override { owner_.clear(data); }
    bool seq_rm(llama_seq_id sequence, llama_pos begin, llama_pos end) override { return owner_.seq_rm(sequence, begin, end); }
    void seq_cp(llama_seq_id from, llama_seq_id to, llama_pos begin, llama_pos end) override {
        owner_.seq_cp(from, to, begin, end);
    }
    void seq_keep(llama_seq_id sequence) override { owner_.seq_keep(sequence); }
    void seq_add(llama_seq_id sequence, llama_pos begin, llama_pos end, llama_pos shift) override {
        owner_.seq_add(sequence, begin, end, shift);
    }
    void seq_div(llama_seq_id sequence, llama_pos begin, llama_pos end, int d) override {
        owner_.seq_div(sequence, begin, end, d);
    }
    llama_pos seq_pos_min(llama_seq_id sequence) const override { return owner_.seq_pos_min(sequence); }
    llama_pos seq_pos_max(llama_seq_id sequence) const override { return owner_.seq_pos_max(sequence); }
    std::map<ggml_backend_buffer_type_t, size_t> memory_breakdown() const override { return {}; }
    void state_write(llama_io_write_i & io, llama_seq_id sequence, llama_state_seq_flags flags) const override {
        owner_.state_write(io, sequence, flags);
    }
    void state_read(llama_io_read_i & io, llama_seq_id sequence, llama_state_seq_flags flags) override {
        owner_.state_read(io, sequence, flags);
    }

  private:
    llama_memory_i & owner_;
};

} // namespace

void la_borrow_memory(llama_context * ctx, llama_context * owner) {
    ctx->*member(MemoryTag()) = std::make_unique<BorrowedMemory>(*owner->get_memory());
    llama_cparams & own = ctx->*member(ParametersTag());
    const llama_cparams & others = owner->get_cparams();
    own.n_ctx = others.n_ctx;
    own.n_ctx_seq = others.n_ctx_seq;
    own.n_seq_max = others.n_seq_max;
    own.kv_unified = others.kv_unified;
    own.flash_attn = others.flash_attn; // how values lie in the cache depends on it
    own.auto_fa = false;
    ctx->*member(NeedsReserveTag()) = true; // the graphs of that shape are larger
    ctx->sched_reserve();
}
