# Compiles a copy of upstream's common/ with our limits in it (edits.py) instead of the original.
#
# A copy of all of it, since its headers are changed too and include each other by their place. The original stays behind it
# among the include directories: some files name headers of src/ from there.

set(LLAMA_ASYNC_COMMON_DIR "${CMAKE_BINARY_DIR}/llama.cpp-limited/common")
set(_patches "${CMAKE_CURRENT_LIST_DIR}")

execute_process(
    COMMAND "${Python_EXECUTABLE}" -B "${_patches}/apply.py" "${LLAMA_CPP_DIR}/common" "${LLAMA_ASYNC_COMMON_DIR}"
    RESULT_VARIABLE _result)
if(NOT _result EQUAL 0)
    message(FATAL_ERROR "our limits do not fit this llama.cpp; the reason stands above")
endif()
set_property(DIRECTORY "${CMAKE_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
    "${_patches}/apply.py" "${_patches}/edits.py" "${LLAMA_CPP_DIR}/common/jinja/value.h")

get_target_property(_sources llama-common SOURCES)
get_target_property(_source_dir llama-common SOURCE_DIR)
set(_limited)
foreach(_source IN LISTS _sources)
    get_filename_component(_source "${_source}" ABSOLUTE BASE_DIR "${_source_dir}")
    file(RELATIVE_PATH _name "${LLAMA_CPP_DIR}/common" "${_source}")
    if(EXISTS "${LLAMA_ASYNC_COMMON_DIR}/${_name}")
        set(_source "${LLAMA_ASYNC_COMMON_DIR}/${_name}")
    elseif(_name MATCHES "^[^.].*[.]cpp$")
        message(FATAL_ERROR "${_source}: the copy of common/ with our limits does not have it")
    endif()
    list(APPEND _limited "${_source}")
endforeach()
set_target_properties(llama-common PROPERTIES SOURCES "${_limited}")
target_include_directories(llama-common BEFORE PUBLIC "${LLAMA_ASYNC_COMMON_DIR}")
# What the copy calls is ours.
target_include_directories(llama-common PRIVATE "${CMAKE_SOURCE_DIR}/_native/src")
