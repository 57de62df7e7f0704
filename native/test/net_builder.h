// Builds an OpCase step by step: names, shapes and numbers of a tiny net.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "op_cases.h"

namespace lepton::test {

/// Which numbers an array gets. kSpread: all different, at least 1/64 apart and away from 0 (no kink of relu
/// or of a maximum lies within a step of finite differences); kPositive: in [0.5, 1.5].
enum class Numbers : std::uint8_t { kNormal, kSpread, kPositive, kUnit };

class NetBuilder {
 public:
  NetBuilder(std::string name, std::int64_t batch, InputsAre inputs_are);

  /// An input of this shape (without batch); its name is a node or a graph input.
  std::string input(const Shape& shape, Numbers numbers = Numbers::kNormal);
  std::string ids(const Shape& shape, std::int64_t limit);
  std::string parameter(const Shape& shape, Numbers numbers = Numbers::kNormal, bool trainable = true);
  std::string node(const std::string& op, std::vector<std::string> inputs,
                   std::vector<std::string> parameters = {}, const OperationOptions& options = {});
  /// Squared error against random targets, weighted so that gradients are of the order of 1.
  OpCase finish(const std::string& output);
  OpCase finish(const std::vector<std::string>& outputs);
  OpCase finish(const std::string& output, LossSpec loss, std::vector<double> target);
  /// Adds an output with squared error without ending the net.
  void add_output(const std::string& output);

  std::vector<double> numbers(std::int64_t count, Numbers numbers);
  std::int64_t random_below(std::int64_t limit);
  Shape shape_of(const std::string& name) const;  // with batch

 private:
  std::mt19937_64 random_;
  InputsAre inputs_are_;
  OpCase net_;
};

}  // namespace lepton::test
