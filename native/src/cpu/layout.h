// Memory layouts of values in oneDNN's words. Four-dimensional values are images (logical N, C, H, W; plain =
// NHWC), all others are row-major. Holds no memory and no primitives.
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <optional>

#include "graph/program.h"

namespace lepton::cpu {

using Layout = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

/// The layout in which a value is visible outside the device.
Layout plain_layout(const Shape& shape, DType type = DType::kFloat);

/// A dense row-major float layout of any dimensions.
Layout row_major(const dnnl::memory::dims& dims);

/// Dimensions in oneDNN's order: N, H, W, C becomes N, C, H, W.
dnnl::memory::dims image_dims(const Shape& shape);

/// An image layout whose format the library may choose.
Layout any_image(const Shape& shape);

/// A kernel of the arena, (height, width, in / groups, out), with the logical dimensions of a convolution
/// weight.
Layout kernel_layout(const Shape& kernel, std::int64_t groups);

/// True when both put every element at the same address (strides of dimensions of size one do not count).
bool same_bytes(const Layout& a, const Layout& b);

/// Rows of `width` neighbouring channels: address = ((image * blocks + block) * pixels + pixel) * width +
/// channel. NHWC is one block as wide as the channels; blocked layouts have fixed widths and zero padding at
/// the end.
struct ChannelBlocks {
  std::int64_t images, blocks, pixels, width;
};

/// The block view of an image layout; nothing for layouts that keep channels apart (NCHW).
std::optional<ChannelBlocks> channel_blocks(const Layout& layout);

/// The same format with other dimensions; NHWC for a format that channel_blocks does not know.
Layout same_format(const Layout& like, const Shape& shape);

/// Elements including the padding of blocked layouts.
inline std::int64_t padded_elements(const Layout& layout) {
  return static_cast<std::int64_t>(layout.get_size() / sizeof(float));
}

}  // namespace lepton::cpu
