// Layout arithmetic: builds, compares and classifies memory descriptors. Touches no memory.
#include "cpu/layout.h"

namespace lepton::cpu {

using dnnl::memory;

Layout row_major(const memory::dims& dims) {
  memory::dims strides(dims.size());
  memory::dim step = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    strides[i] = step;
    step *= dims[i];
  }
  return Layout(dims, memory::data_type::f32, strides);
}

memory::dims image_dims(const Shape& shape) { return {shape[0], shape[3], shape[1], shape[2]}; }

Layout plain_layout(const Shape& shape, DType type) {
  if (shape.size() == 4 && type == DType::kFloat) {
    return Layout(image_dims(shape), memory::data_type::f32, Tag::nhwc);
  }
  // int32 has the size of float: only own kernels read it, as raw bytes of four.
  return row_major(shape.empty() ? memory::dims{1} : memory::dims(shape.begin(), shape.end()));
}

Layout any_image(const Shape& shape) { return Layout(image_dims(shape), memory::data_type::f32, Tag::any); }

Layout kernel_layout(const Shape& kernel, std::int64_t groups) {
  const auto height = kernel[0], width = kernel[1], in = kernel[2], out = kernel[3];
  const auto row = in * out;
  if (groups == 1) {
    return Layout({out, in, height, width}, memory::data_type::f32, memory::dims{1, out, width * row, row});
  }
  const auto per_group = out / groups;
  return Layout({groups, per_group, in, height, width}, memory::data_type::f32,
                memory::dims{per_group, 1, out, width * row, row});
}

bool same_bytes(const Layout& a, const Layout& b) {
  if (a == b) return true;
  if (a.get_format_kind() != memory::format_kind::blocked ||
      b.get_format_kind() != memory::format_kind::blocked) {
    return false;
  }
  if (a.get_dims() != b.get_dims() || a.get_padded_dims() != b.get_padded_dims() ||
      a.get_data_type() != b.get_data_type() || a.get_inner_nblks() != b.get_inner_nblks() ||
      a.get_inner_blks() != b.get_inner_blks() || a.get_inner_idxs() != b.get_inner_idxs()) {
    return false;
  }
  memory::dims outer = a.get_padded_dims();
  for (int i = 0; i < a.get_inner_nblks(); ++i) outer[a.get_inner_idxs()[i]] /= a.get_inner_blks()[i];
  const auto strides_a = a.get_strides(), strides_b = b.get_strides();
  for (std::size_t i = 0; i < outer.size(); ++i) {
    if (outer[i] > 1 && strides_a[i] != strides_b[i]) return false;
  }
  return true;
}

namespace {

std::optional<Tag> block_format(const Layout& layout) {
  if (layout.get_ndims() != 4) return std::nullopt;
  for (const Tag tag : {Tag::nhwc, Tag::nChw16c, Tag::nChw8c}) {
    if (same_bytes(layout, Layout(layout.get_dims(), memory::data_type::f32, tag))) return tag;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ChannelBlocks> channel_blocks(const Layout& layout) {
  const auto tag = block_format(layout);
  if (!tag) return std::nullopt;
  const auto dims = layout.get_dims();
  const auto width = *tag == Tag::nhwc ? dims[1] : *tag == Tag::nChw16c ? 16 : 8;
  return ChannelBlocks{dims[0], layout.get_padded_dims()[1] / width, dims[2] * dims[3], width};
}

Layout same_format(const Layout& like, const Shape& shape) {
  return Layout(image_dims(shape), memory::data_type::f32, block_format(like).value_or(Tag::nhwc));
}

}  // namespace lepton::cpu
