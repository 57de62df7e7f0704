// Seven small products and a softmax. 1 / sqrt(width) goes into the packed keys and queries, where it costs
// nothing.
#include "cpu/kernels/attention.h"

#include <algorithm>
#include <cmath>

#include "cpu/kernels/product.h"
#include "cpu/kernels/rows.h"

namespace lepton::cpu {
namespace {

constexpr std::int64_t kBlock = 64;  // queries; a block of scores against 64 keys is 16 KiB

/// Queries [begin, begin + count) and the keys [0, keys) that at least one of them sees.
struct Block {
  std::int64_t begin, count, keys;
};

template <class Visit>
void for_blocks(const HeadSizes& sizes, Visit&& visit) {
  for (std::int64_t begin = 0; begin < sizes.queries; begin += kBlock) {
    const std::int64_t end = std::min(begin + kBlock, sizes.queries);
    visit(Block{begin, end - begin, sizes.causal ? std::min(end, sizes.keys) : sizes.keys});
  }
}

/// Keys that query t sees, of the block's.
std::int64_t seen(const HeadSizes& sizes, const Block& block, std::int64_t row) {
  return sizes.causal ? std::min(block.begin + row + 1, block.keys) : block.keys;
}

void softmax_block(const HeadSizes& sizes, const Block& block, float* rows) {
  if (!sizes.causal) return softmax(rows, rows, block.count, sizes.keys);
  for (std::int64_t i = 0; i < block.count; ++i, rows += sizes.keys) {
    const std::int64_t keys = seen(sizes, block, i);
    softmax(rows, rows, 1, keys);
    std::fill(rows + keys, rows + block.keys, 0.0f);
  }
}

/// The gradient of the scores, over that of the probabilities.
void softmax_block_backward(const HeadSizes& sizes, const Block& block, const float* p, float* rows) {
  if (!sizes.causal) return softmax_backward(p, rows, rows, block.count, sizes.keys);
  for (std::int64_t i = 0; i < block.count; ++i, rows += sizes.keys, p += sizes.keys) {
    const std::int64_t keys = seen(sizes, block, i);
    softmax_backward(p, rows, rows, 1, keys);
    std::fill(rows + keys, rows + block.keys, 0.0f);
  }
}

float scale(const HeadSizes& sizes) { return 1.0f / std::sqrt(static_cast<float>(sizes.width)); }

void clear(float* rows, std::int64_t count, std::int64_t width, std::int64_t stride) {
  if (rows == nullptr) return;
  for (std::int64_t i = 0; i < count; ++i, rows += stride) std::fill_n(rows, width, 0.0f);
}

}  // namespace

std::int64_t head_scratch(const HeadSizes& sizes) {
  const std::int64_t block = std::min(kBlock, sizes.queries);
  const std::int64_t widest = std::max(sizes.width, sizes.value_width);
  return packed_size(sizes.width, sizes.keys) + packed_size(sizes.keys, sizes.width) +
         packed_size(sizes.keys, sizes.value_width) + packed_size(sizes.value_width, sizes.keys) +
         packed_size(block, widest) + block * sizes.keys;
}

void attention_head(const HeadSizes& sizes, const HeadForward& head, float* scratch) {
  float* keys = scratch;
  float* values = keys + packed_size(sizes.width, sizes.keys);
  float* own_rows = values + packed_size(sizes.keys, sizes.value_width);
  pack({head.key, 1, sizes.stride}, sizes.width, sizes.keys, scale(sizes), keys);
  pack({head.value, sizes.value_stride, 1}, sizes.keys, sizes.value_width, 1, values);
  for_blocks(sizes, [&](const Block& block) {
    float* rows = head.probabilities == nullptr ? own_rows : head.probabilities + block.begin * sizes.keys;
    multiply({.a = {head.query + block.begin * sizes.stride, sizes.stride, 1},
              .packed = keys,
              .packed_depth = sizes.width,
              .c = rows,
              .stride = sizes.keys,
              .rows = block.count,
              .depth = sizes.width,
              .columns = block.keys});
    softmax_block(sizes, block, rows);
    multiply({.a = {rows, sizes.keys, 1},
              .packed = values,
              .packed_depth = sizes.keys,
              .c = head.y + block.begin * sizes.value_stride,
              .stride = sizes.value_stride,
              .rows = block.count,
              .depth = block.keys,
              .columns = sizes.value_width});
  });
}

namespace {

/// What the blocks of a backward pass share.
struct BackwardPass {
  const HeadSizes& sizes;
  const HeadBackward& head;
  float *values, *keys, *own, *rows;  // packed value^T, packed key, packed rows of the block, scores

  void run() const {
    clear(head.dkey, sizes.keys, sizes.width, sizes.stride);
    clear(head.dvalue, sizes.keys, sizes.value_width, sizes.value_stride);
    const bool scores = head.dquery != nullptr || head.dkey != nullptr;
    if (scores) pack({head.value, 1, sizes.value_stride}, sizes.value_width, sizes.keys, 1, values);
    if (head.dquery != nullptr)
      pack({head.key, sizes.stride, 1}, sizes.keys, sizes.width, scale(sizes), keys);
    for_blocks(sizes, [&](const Block& block) {
      if (head.dvalue != nullptr) add_dvalue(block);
      if (scores) find_dscores(block);
      if (head.dquery != nullptr) find_dquery(block);
      if (head.dkey != nullptr) add_dkey(block);
    });
  }

  void add_dvalue(const Block& block) const {
    const float* dy = head.dy + block.begin * sizes.value_stride;
    pack({dy, sizes.value_stride, 1}, block.count, sizes.value_width, 1, own);
    multiply({.a = {probabilities(block), 1, sizes.keys},
              .packed = own,
              .packed_depth = block.count,
              .c = head.dvalue,
              .stride = sizes.value_stride,
              .rows = block.keys,
              .depth = block.count,
              .columns = sizes.value_width,
              .add = true});
  }

  void find_dscores(const Block& block) const {
    multiply({.a = {head.dy + block.begin * sizes.value_stride, sizes.value_stride, 1},
              .packed = values,
              .packed_depth = sizes.value_width,
              .c = rows,
              .stride = sizes.keys,
              .rows = block.count,
              .depth = sizes.value_width,
              .columns = block.keys});
    softmax_block_backward(sizes, block, probabilities(block), rows);
  }

  void find_dquery(const Block& block) const {
    multiply({.a = {rows, sizes.keys, 1},
              .packed = keys,
              .packed_depth = sizes.keys,
              .c = head.dquery + block.begin * sizes.stride,
              .stride = sizes.stride,
              .rows = block.count,
              .depth = block.keys,
              .columns = sizes.width});
  }

  void add_dkey(const Block& block) const {
    const float* query = head.query + block.begin * sizes.stride;
    pack({query, sizes.stride, 1}, block.count, sizes.width, scale(sizes), own);
    multiply({.a = {rows, 1, sizes.keys},
              .packed = own,
              .packed_depth = block.count,
              .c = head.dkey,
              .stride = sizes.stride,
              .rows = block.keys,
              .depth = block.count,
              .columns = sizes.width,
              .add = true});
  }

  const float* probabilities(const Block& block) const {
    return head.probabilities + block.begin * sizes.keys;
  }
};

}  // namespace

void attention_head_backward(const HeadSizes& sizes, const HeadBackward& head, float* scratch) {
  const std::int64_t block = std::min(kBlock, sizes.queries);
  float* values = scratch;
  float* keys = values + packed_size(sizes.value_width, sizes.keys);
  float* own = keys + packed_size(sizes.keys, sizes.width);
  float* rows = own + packed_size(block, std::max(sizes.width, sizes.value_width));
  BackwardPass{sizes, head, values, keys, own, rows}.run();
}

}  // namespace lepton::cpu
