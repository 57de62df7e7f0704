// Every case on cpu against reference: normalised mean squared error of losses, outputs, gradients and new
// state.
#include <gtest/gtest.h>

#include <cmath>

#include "run_case.h"
#include "worst.h"

namespace lepton::test {
namespace {

constexpr double kBound = 1e-10;

// A tensor that is zero but for rounding (the gradient of a bias before batch normalization) has no scale of
// its own: below this mean square the error is taken as it is.
constexpr double kFloor = 1e-6;

double error_of(const std::vector<double>& got, const std::vector<double>& expected) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += (got[i] - expected[i]) * (got[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  return error / std::max(size, kFloor * static_cast<double>(expected.size()));
}

Worst* const kWorst = report_worst("worst normalised mean squared error of cpu against reference");

class Cpu : public testing::TestWithParam<OpCase> {
 protected:
  void compare(Mode mode) {
    const OpCase& net = GetParam();
    CaseRunner expected(net, device("reference"), mode);
    CaseRunner got(net, device("cpu"), mode);
    got.run(1);  // a second run must not see the first one's leftovers
    const double loss = got.run();
    if (mode != Mode::kPredict) {
      expect_close({loss}, {expected.run()}, "loss");
    } else {
      expected.run();
    }
    for (std::size_t i = 0; i < net.graph.outputs.size(); ++i) {
      expect_close(got.output(i), expected.output(i), "output " + net.graph.outputs[i]);
    }
    if (mode == Mode::kTrain) compare_gradients(expected, got);
  }

  void expect_close(const std::vector<double>& got, const std::vector<double>& expected,
                    const std::string& what) {
    const double error = error_of(got, expected);
    kWorst->note(error, GetParam().name + ", " + what);
    EXPECT_LE(error, kBound) << what;
  }

  void compare_gradients(const CaseRunner& expected, const CaseRunner& got) {
    for (const ArenaEntry& entry : expected.layout().entries) {
      const std::vector<double> oracle = expected.gradient(entry);
      if (std::isnan(oracle.front())) {
        EXPECT_TRUE(std::isnan(got.gradient(entry).front())) << entry.name << " is written by cpu alone";
        continue;
      }
      expect_close(got.gradient(entry), oracle, (entry.trainable ? "d " : "new ") + entry.name);
    }
    EXPECT_TRUE(std::is_sorted(got.announced().rbegin(), got.announced().rend()));
    EXPECT_EQ(got.announced().empty() ? -1 : got.announced().back(), 0);
  }
};

class CpuLearned : public Cpu {};
class CpuFed : public Cpu {};

TEST_P(CpuLearned, Train) { compare(Mode::kTrain); }
TEST_P(CpuFed, Train) { compare(Mode::kTrain); }
TEST_P(CpuFed, Evaluate) { compare(Mode::kEvaluate); }
TEST_P(CpuFed, Predict) { compare(Mode::kPredict); }

std::vector<OpCase> cases_here(InputsAre inputs) {
  return cpu_device() != nullptr ? op_cases(inputs) : std::vector<OpCase>{};
}

const auto kNameOf = [](const auto& info) { return info.param.name; };
INSTANTIATE_TEST_SUITE_P(Cases, CpuLearned, testing::ValuesIn(cases_here(InputsAre::kLearned)), kNameOf);
INSTANTIATE_TEST_SUITE_P(Cases, CpuFed, testing::ValuesIn(cases_here(InputsAre::kFed)), kNameOf);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CpuLearned);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CpuFed);

}  // namespace
}  // namespace lepton::test
