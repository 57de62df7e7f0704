// The one exception type of the engine. What a caller did wrong is in the code, what and where in the
// message.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace lepton {

/// Codes: ENGINE_ARGUMENT (a value is wrong), ENGINE_SHAPE (shapes do not fit), ENGINE_BUSY, ENGINE_DISPOSED,
/// ENGINE_DEVICE (unknown device or an operation that it cannot do), ENGINE_WIRE (bytes that no encoder
/// makes), ENGINE_NOT_FINITE (values that no codec can carry), ENGINE_INTERNAL (a broken promise of ours).
class EngineError : public std::runtime_error {
 public:
  EngineError(std::string code, const std::string& message)
      : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const noexcept { return code_; }

 private:
  std::string code_;
};

}  // namespace lepton
