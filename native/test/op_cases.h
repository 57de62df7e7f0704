// The one list of operation cases. Each is a tiny net with its numbers; the tests run them as finite
// differences, device against device, and the programs that are compared stay the same.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace lepton::test {

/// All numbers are exact in float, so every device starts from the same ones.
struct OpCase {
  std::string name;  // letters, digits and _: the name of the test
  GraphSpec graph;
  std::vector<LossSpec> losses;
  std::int64_t batch = 1;
  std::vector<std::vector<double>> inputs;      // one per graph input; int32 values as doubles
  std::vector<std::vector<double>> parameters;  // one per GraphSpec::parameters
  std::vector<std::vector<double>> targets;     // one per loss
};

/// GoogleTest's name for it.
inline void PrintTo(const OpCase& net, std::ostream* out) { *out << net.name; }

/// How the inputs of the operation enter. kLearned: as rows of embedding tables, so that their gradient is a
/// parameter's and is compared too. kFed: as graph inputs, so that no gradient of theirs is computed at all.
enum class InputsAre : std::uint8_t { kLearned, kFed };

std::vector<OpCase> op_cases(InputsAre inputs);

}  // namespace lepton::test
