// Plain loops of attention: query (batch, t, heads * d), key (batch, s, heads * d), value (batch, s, heads *
// e), y (batch, t, heads * e), probabilities (batch, heads * t, s).
#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/kernels.h"

namespace lepton::reference {
namespace {

struct Sizes {
  std::int64_t heads, queries, keys, width, value_width;
  bool causal;

  explicit Sizes(const Frame& frame)
      : heads(frame.attributes().heads),
        queries(frame.input_shape(0)[1]),
        keys(frame.input_shape(1)[1]),
        width(frame.input_shape(0)[2] / heads),
        value_width(frame.input_shape(2)[2] / heads),
        causal(frame.attributes().causal) {}

  double scale() const { return 1 / std::sqrt(static_cast<double>(width)); }
  /// How many keys query t sees.
  std::int64_t seen(std::int64_t t) const { return causal ? std::min(t + 1, keys) : keys; }
  /// Where the row of a query, a key or value, and of probabilities begins.
  std::int64_t query(std::int64_t n, std::int64_t h, std::int64_t t, std::int64_t size) const {
    return ((n * queries + t) * heads + h) * size;
  }
  std::int64_t key(std::int64_t n, std::int64_t h, std::int64_t s, std::int64_t size) const {
    return ((n * keys + s) * heads + h) * size;
  }
  std::int64_t probability(std::int64_t n, std::int64_t h, std::int64_t t) const {
    return ((n * heads + h) * queries + t) * keys;
  }
};

double dot(const double* a, const double* b, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void add(double factor, const double* from, double* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

/// Calls work(sample, head, query) for all of them.
template <class Work>
void for_queries(const Frame& frame, const Sizes& sizes, Work&& work) {
  for (std::int64_t n = 0; n < frame.input_shape(0)[0]; ++n) {
    for (std::int64_t h = 0; h < sizes.heads; ++h) {
      for (std::int64_t t = 0; t < sizes.queries; ++t) work(n, h, t);
    }
  }
}

}  // namespace

void attention(const Frame& frame) {
  const Sizes sizes(frame);
  const double *query = frame.input(0), *key = frame.input(1), *value = frame.input(2);
  std::vector<double> row(static_cast<std::size_t>(sizes.keys));
  for_queries(frame, sizes, [&](std::int64_t n, std::int64_t h, std::int64_t t) {
    const std::int64_t seen = sizes.seen(t);
    std::fill(row.begin(), row.end(), 0.0);
    double* p = row.data();
    for (std::int64_t s = 0; s < seen; ++s) {
      p[s] = sizes.scale() * dot(query + sizes.query(n, h, t, sizes.width),
                                 key + sizes.key(n, h, s, sizes.width), sizes.width);
    }
    const double top = *std::max_element(p, p + seen);
    double total = 0;
    for (std::int64_t s = 0; s < seen; ++s) total += p[s] = std::exp(p[s] - top);
    double* y = frame.output(0) + sizes.query(n, h, t, sizes.value_width);
    std::fill_n(y, sizes.value_width, 0.0);
    for (std::int64_t s = 0; s < seen; ++s) {
      p[s] /= total;
      add(p[s], value + sizes.key(n, h, s, sizes.value_width), y, sizes.value_width);
    }
    if (frame.output(1) != nullptr)
      std::copy(row.begin(), row.end(), frame.output(1) + sizes.probability(n, h, t));
  });
}

void attention_backward(const Frame& frame) {
  const Sizes sizes(frame);
  const double *query = frame.input(0), *key = frame.input(1), *value = frame.input(2);
  double *dquery = frame.output(0), *dkey = frame.output(1), *dvalue = frame.output(2);
  for (std::size_t i = 0; i < 3; ++i) {
    if (frame.output(i) != nullptr) std::fill_n(frame.output(i), elements(frame.input_shape(i)), 0.0);
  }
  std::vector<double> dp(static_cast<std::size_t>(sizes.keys));
  for_queries(frame, sizes, [&](std::int64_t n, std::int64_t h, std::int64_t t) {
    const double* p = frame.input(3) + sizes.probability(n, h, t);
    const double* dy = frame.input(4) + sizes.query(n, h, t, sizes.value_width);
    const std::int64_t at = sizes.query(n, h, t, sizes.width), seen = sizes.seen(t);
    for (std::int64_t s = 0; s < seen; ++s) {
      const std::int64_t of_value = sizes.key(n, h, s, sizes.value_width);
      dp[static_cast<std::size_t>(s)] = dot(dy, value + of_value, sizes.value_width);
      if (dvalue != nullptr) add(p[s], dy, dvalue + of_value, sizes.value_width);
    }
    const double mean = dot(p, dp.data(), seen);
    for (std::int64_t s = 0; s < seen; ++s) {
      const double dscore = sizes.scale() * p[s] * (dp[static_cast<std::size_t>(s)] - mean);
      const std::int64_t of_key = sizes.key(n, h, s, sizes.width);
      if (dquery != nullptr) add(dscore, key + of_key, dquery + at, sizes.width);
      if (dkey != nullptr) add(dscore, query + at, dkey + of_key, sizes.width);
    }
  });
}

}  // namespace lepton::reference
