# Which of upstream's backends are built, by one word: -DLLAMA_ASYNC_BACKEND=vulkan.
#
# The words only set upstream's own options where the caller did not: every GGML_* and LLAMA_* option passes through
# (`pip install . -C cmake.define.GGML_VULKAN=ON`, or CMAKE_ARGS="-DGGML_VULKAN=ON").

set(LLAMA_ASYNC_BACKEND "cpu" CACHE STRING "cpu, blas, vulkan, cuda, metal, hip, sycl or rpc; several: a list")

# Sets an option of upstream's unless the caller did.
macro(llama_async_default name value)
    if(NOT DEFINED ${name})
        set(${name} ${value} CACHE STRING "default of llama-async")
    endif()
endmacro()

foreach(_backend IN LISTS LLAMA_ASYNC_BACKEND)
    if(_backend STREQUAL "cpu")
        # always built
    elseif(_backend STREQUAL "blas")
        llama_async_default(GGML_BLAS ON)
        if(NOT APPLE)
            llama_async_default(GGML_BLAS_VENDOR OpenBLAS)
        endif()
    elseif(_backend STREQUAL "vulkan")
        llama_async_default(GGML_VULKAN ON)
    elseif(_backend STREQUAL "cuda")
        llama_async_default(GGML_CUDA ON)
    elseif(_backend STREQUAL "metal")
        llama_async_default(GGML_METAL ON)
        # One file to install: the shaders go into the extension.
        llama_async_default(GGML_METAL_EMBED_LIBRARY ON)
    elseif(_backend STREQUAL "hip")
        llama_async_default(GGML_HIP ON)
    elseif(_backend STREQUAL "sycl")
        llama_async_default(GGML_SYCL ON)
    elseif(_backend STREQUAL "rpc")
        llama_async_default(GGML_RPC ON)
    else()
        message(FATAL_ERROR "LLAMA_ASYNC_BACKEND: '${_backend}' is none of cpu, blas, vulkan, cuda, metal, hip, sycl, rpc")
    endif()
endforeach()
