// The worst error that a test program saw, printed at its end: how far from its bound the engine stays.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace lepton::test {

class Worst : public testing::Environment {
 public:
  explicit Worst(std::string what) : what_(std::move(what)) {}

  void note(double error, const std::string& where) {
    ++compared_;
    if (error <= error_) return;
    error_ = error;
    where_ = where;
  }

  void TearDown() override {
    std::printf("%s: %.1e in %s, of %ld comparisons\n", what_.c_str(), error_, where_.c_str(), compared_);
  }

 private:
  std::string what_;
  double error_ = 0;
  std::string where_ = "none";
  long compared_ = 0;
};

/// The test program's own; GoogleTest deletes it at the end.
inline Worst* report_worst(const std::string& what) {
  auto* worst = new Worst(what);
  testing::AddGlobalTestEnvironment(worst);
  return worst;
}

}  // namespace lepton::test
