# Sets LLAMA_CPP_DIR to the source of llama.cpp and LLAMA_BUILD_COMMIT to its commit (see obtain.py for the order).

# The commit that the archive named in requirements.txt carries; the archive itself does not say. Move both together.
set(LLAMA_ASYNC_PINNED_COMMIT 0c1e57098)

set(LLAMA_CPP_SOURCE_DIR "$ENV{LLAMA_CPP_SOURCE_DIR}" CACHE PATH "Source of llama.cpp to build instead of the pinned one")

set(_obtain "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/obtain.py")
if(LLAMA_CPP_SOURCE_DIR)
    list(APPEND _obtain --source-dir "${LLAMA_CPP_SOURCE_DIR}")
endif()
if(LLAMA_ASYNC_CARRY_SOURCE)
    list(APPEND _obtain --carry)
endif()
execute_process(
    COMMAND ${_obtain}
    OUTPUT_VARIABLE LLAMA_CPP_DIR
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE _result)
if(NOT _result EQUAL 0)
    message(FATAL_ERROR "the source of llama.cpp cannot be had; the reason stands above")
endif()
message(STATUS "llama.cpp source: ${LLAMA_CPP_DIR}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
    "${CMAKE_CURRENT_LIST_DIR}/requirements.txt" "${CMAKE_CURRENT_LIST_DIR}/obtain.py")

# Upstream asks git for its commit. In an unpacked archive that would find whatever repository lies around it.
if(NOT EXISTS "${LLAMA_CPP_DIR}/.git")
    get_filename_component(_parent "${LLAMA_CPP_DIR}" DIRECTORY)
    set(ENV{GIT_CEILING_DIRECTORIES} "${_parent}")
    if(NOT LLAMA_CPP_SOURCE_DIR AND NOT LLAMA_CPP_DIR MATCHES "/llama.cpp/source$")
        set(LLAMA_BUILD_COMMIT ${LLAMA_ASYNC_PINNED_COMMIT})
    endif()
endif()
