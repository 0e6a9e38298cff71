// Upstream's assertions as exceptions, where that is safe.
#pragma once

namespace la {

// While one lives, a failed GGML_ASSERT on this thread throws std::runtime_error with upstream's message instead of
// ending the process. Only for code whose state is thrown away with the exception: loading a model, preparing a request,
// sampling. Never around llama_decode with several compute threads: those left at a barrier would wait for ever.
//
// Works because upstream calls the hook of ggml_set_abort_callback before it aborts, and because its C code is compiled
// with unwind tables (-fexceptions, llama.cpp/build.cmake).
class AssertsThrow {
  public:
    AssertsThrow();
    ~AssertsThrow();
    AssertsThrow(const AssertsThrow &) = delete;
    AssertsThrow & operator=(const AssertsThrow &) = delete;

  private:
    bool outer_;
};

} // namespace la
