/* Force-included into ggml-cpu's ops.cpp: its flash attention gets another name, so that flash_attention.cpp can stand in
 * its place and call it for what it does not compute itself.
 */
#ifndef LLAMA_ASYNC_FLASH_ATTENTION_RENAME_H
#define LLAMA_ASYNC_FLASH_ATTENTION_RENAME_H

#define ggml_compute_forward_flash_attn_ext la_upstream_flash_attn_ext

#endif
