// Every case on the reference device: gradients of all inputs and parameters against central differences.
#include <gtest/gtest.h>

#include <cmath>

#include "run_case.h"
#include "worst.h"

namespace lepton::test {
namespace {

constexpr double kStep = 1e-6;
constexpr double kRelative = 1e-3;
constexpr double kAbsolute = 1e-5;

// Entries that some live node uses: the dead end of a graph has no gradient to compare.
bool written(const std::vector<double>& gradient) { return !std::isnan(gradient.front()); }

Worst* const kWorst = report_worst("worst distance from a finite difference, as a share of what is allowed");

class FiniteDifferences : public testing::TestWithParam<OpCase> {};

TEST_P(FiniteDifferences, Agree) {
  CaseRunner runner(GetParam(), device("reference"), Mode::kTrain);
  runner.run();
  std::vector<std::vector<double>> gradients;
  for (const ArenaEntry& entry : runner.layout().entries) gradients.push_back(runner.gradient(entry));
  std::size_t compared = 0;
  for (std::size_t e = 0; e < gradients.size(); ++e) {
    const ArenaEntry& entry = runner.layout().entries[e];
    if (!entry.trainable || !written(gradients[e])) continue;
    for (std::int64_t i = 0; i < entry.length; ++i) {
      const double value = runner.parameter(entry, i);
      runner.set_parameter(entry, i, value + kStep);
      const double above = runner.run();
      runner.set_parameter(entry, i, value - kStep);
      const double below = runner.run();
      runner.set_parameter(entry, i, value);
      const double expected = (above - below) / (2 * kStep);
      const double got = gradients[e][static_cast<std::size_t>(i)];
      const double allowed = kAbsolute + kRelative * std::abs(expected);
      kWorst->note(std::abs(got - expected) / allowed, GetParam().name + ", " + entry.name);
      ASSERT_NEAR(got, expected, allowed) << entry.name << "[" << i << "] of " << to_string(entry.shape);
      ++compared;
    }
  }
  EXPECT_GT(compared, 0U);
}

INSTANTIATE_TEST_SUITE_P(Reference, FiniteDifferences, testing::ValuesIn(op_cases(InputsAre::kLearned)),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lepton::test
