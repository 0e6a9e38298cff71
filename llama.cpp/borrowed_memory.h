// A context that computes in another one's memory (borrowed_memory.cpp, compiled into upstream's library).
#pragma once

struct llama_context;

// From now on `ctx` reads and writes the cells, states and sequences of `owner`, and has its shape (n_ctx, n_seq_max, layout);
// its own memory is freed. Throws what upstream throws where a context cannot be created. Both contexts are of one model, and `owner` outlives `ctx`.
//
// While one of them is inside llama_decode, the other may compute too, on the same thread (from an eval callback), if no
// sequence of the one batch is in the other, and the memory is a KV cache with a stream for each sequence.
void la_borrow_memory(llama_context * ctx, llama_context * owner);
