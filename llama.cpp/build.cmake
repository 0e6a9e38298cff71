# Adds upstream's static libraries: llama, llama-common, mtmd and the ggml backends.

include("${CMAKE_CURRENT_LIST_DIR}/backends.cmake")

set(BUILD_SHARED_LIBS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# Symbols of ours must not meet those of another libllama in the process (docs/design.md, D16); hidden ones may also
# be inlined, which interposable ones of a shared object may not.
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
if(NOT MSVC)
    # A failed assertion becomes an exception where that is safe (_native/src/base/asserts.h): it must pass C frames.
    add_compile_options($<$<COMPILE_LANGUAGE:C>:-fexceptions>)
    # Messages of upstream name its source files: as upstream names them, not where this machine keeps them.
    add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${LLAMA_CPP_DIR}/=>"
        "$<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${CMAKE_BINARY_DIR}/llama.cpp-limited/=>")
endif()

llama_async_default(LLAMA_BUILD_COMMON ON)
llama_async_default(LLAMA_BUILD_MTMD ON)
llama_async_default(LLAMA_BUILD_TESTS OFF)
llama_async_default(LLAMA_BUILD_EXAMPLES OFF)
llama_async_default(LLAMA_BUILD_TOOLS OFF)
llama_async_default(LLAMA_BUILD_SERVER OFF)
llama_async_default(LLAMA_BUILD_APP OFF)
llama_async_default(LLAMA_BUILD_UI OFF)
llama_async_default(LLAMA_TESTS_INSTALL OFF)
llama_async_default(LLAMA_OPENSSL OFF)
llama_async_default(LLAMA_SUBPROCESS OFF)
llama_async_default(LLAMA_ALL_WARNINGS OFF) # upstream's warnings are upstream's to mend
# Off: a wheel that needs no libgomp; ggml's own threadpool, whose poll level and affinity can be set, is compiled out
# otherwise; and ThreadSanitizer does not understand libgomp's barriers.
llama_async_default(GGML_OPENMP OFF)

add_subdirectory("${LLAMA_CPP_DIR}" llama.cpp EXCLUDE_FROM_ALL SYSTEM)

include("${CMAKE_CURRENT_LIST_DIR}/patches/patches.cmake")

# llama_async_include_first(target header source...): compile upstream's sources with a header of ours before them.
if(MSVC)
    set(_include /FI)
else()
    set(_include -include)
endif()
function(llama_async_include_first target header)
    set_property(SOURCE ${ARGN} TARGET_DIRECTORY ${target} APPEND PROPERTY
        COMPILE_OPTIONS ${_include} "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${header}")
endfunction()

# GCC drops the stores that fill the AMX tile configuration (amx_barrier.h says why). Clang does not. Compute threads
# that wait let others run (spin_yield.h). Flash attention is ours where it is faster (flash_attention.cpp).
get_property(_targets DIRECTORY "${LLAMA_CPP_DIR}/ggml/src" PROPERTY BUILDSYSTEM_TARGETS)
list(FILTER _targets INCLUDE REGEX "^ggml-cpu(-[a-z0-9_]+)?$")
if(_targets)
    list(GET _targets 0 _target) # all variants are targets of one directory and share its source properties
    llama_async_include_first(${_target} spin_yield.h "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/ggml-cpu.c")
    llama_async_include_first(${_target} flash_attention_rename.h "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/ops.cpp")
    foreach(_each IN LISTS _targets)
        target_sources(${_each} PRIVATE "${CMAKE_CURRENT_LIST_DIR}/flash_attention.cpp")
    endforeach()
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        file(GLOB _amx_sources "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/amx/*.cpp")
        llama_async_include_first(${_target} amx_barrier.h ${_amx_sources})
    endif()
endif()
# A context in another one's memory (borrowed_memory.h).
target_sources(llama PRIVATE "${CMAKE_CURRENT_LIST_DIR}/borrowed_memory.cpp")
target_include_directories(llama INTERFACE "${CMAKE_CURRENT_LIST_DIR}")
# The grammar parser's errors go to the log rather than to standard error (grammar_stderr.h).
llama_async_include_first(llama grammar_stderr.h "${LLAMA_CPP_DIR}/src/llama-grammar.cpp")
# Types that Vulkan headers of stable distributions do not have yet (vulkan_layer_settings.h).
if(TARGET ggml-vulkan)
    llama_async_include_first(ggml-vulkan vulkan_layer_settings.h
        "${LLAMA_CPP_DIR}/ggml/src/ggml-vulkan/ggml-vulkan.cpp")
    target_include_directories(ggml-vulkan PRIVATE "${LLAMA_CPP_DIR}/ggml/src/ggml-vulkan")
endif()
# Today's date in a chat template, for several threads at once (local_time.h).
llama_async_include_first(llama-common local_time.h
    "${LLAMA_ASYNC_COMMON_DIR}/chat.cpp" "${LLAMA_ASYNC_COMMON_DIR}/jinja/value.cpp")

# ThreadSanitizer looks at every load of every matrix and makes one token take seconds. These files only compute, each
# call on its own range; whatever shares or synchronizes (ggml-cpu.c, ops.cpp, ggml-backend.cpp) stays instrumented.
option(LLAMA_ASYNC_TSAN_KERNELS "instrument ggml's arithmetic kernels under ThreadSanitizer too" OFF)
if(LLAMA_ASYNC_SANITIZE STREQUAL "thread" AND NOT LLAMA_ASYNC_TSAN_KERNELS)
    set(_cpu "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu")
    file(GLOB _kernels "${_cpu}/arch/*/*.c" "${_cpu}/arch/*/repack.cpp" "${_cpu}/quants.c" "${_cpu}/repack.cpp"
        "${_cpu}/vec.cpp" "${_cpu}/llamafile/sgemm.cpp" "${_cpu}/amx/mmq.cpp" "${_cpu}/tiled/tiled-kernel.cpp")
    set_property(SOURCE ${_kernels} TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=thread)
endif()
