/* Force-included into ggml-vulkan.cpp, for Vulkan headers older than 1.3.272 (Debian 12 has 1.3.239): upstream names the
 * types of VK_EXT_layer_settings, with which it turns on a validation layer's option if, and only if, the loader has
 * that extension. With older headers these stand in; a loader passes over a structure that it does not know. */
#ifndef LLAMA_ASYNC_VULKAN_LAYER_SETTINGS_H
#define LLAMA_ASYNC_VULKAN_LAYER_SETTINGS_H

#include "ggml-vulkan-common.h" /* vulkan.hpp, configured as upstream wants it */

#include <cstdint>
#include <vector>

#if VK_HEADER_VERSION < 272

namespace vk {

enum class LayerSettingTypeEXT { eBool32 = 0 };

struct LayerSettingEXT {
    const char * pLayerName;
    const char * pSettingName;
    LayerSettingTypeEXT type;
    uint32_t valueCount;
    const void * pValues;
};

struct LayerSettingsCreateInfoEXT {
    explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT> & settings)
        : settingCount(static_cast<uint32_t>(settings.size())), pSettings(settings.data()) {}

    uint32_t sType = 1000496000; /* VK_STRUCTURE_TYPE_LAYER_SETTINGS_CREATE_INFO_EXT */
    const void * pNext = nullptr;
    uint32_t settingCount;
    const LayerSettingEXT * pSettings;
};

} // namespace vk

#endif

#endif
