// Steps that run a primitive of oneDNN. Holds the primitive and its arguments; owns no tensor memory.
#include <utility>

#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

/// The arguments stand ready in the form the C interface takes, so a run costs no allocation; handles are set
/// again only when a bound buffer moved.
class LibraryCall {
 public:
  LibraryCall(const dnnl::engine& engine, dnnl::primitive primitive, const std::vector<Argument>& arguments)
      : primitive_(std::move(primitive)) {
    for (const Argument& argument : arguments) {
      memories_.emplace_back(argument.tensor.layout, engine, nullptr);
      buffers_.push_back(argument.tensor.buffer);
      arguments_.push_back({argument.id, memories_.back().get()});
    }
    handles_.resize(buffers_.size(), nullptr);
  }

  void operator()(Frame& frame) {
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      void* handle = frame.at<void>(buffers_[i]);
      if (handle == handles_[i]) continue;
      memories_[i].set_data_handle(handle);
      handles_[i] = handle;
    }
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), frame.stream.get(),
                                                   static_cast<int>(arguments_.size()), arguments_.data()),
                            "could not execute a primitive");
  }

 private:
  dnnl::primitive primitive_;
  std::vector<dnnl::memory> memories_;
  std::vector<BufferId> buffers_;
  std::vector<void*> handles_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

}  // namespace

void Lowering::library(std::string what, const dnnl::primitive& primitive, std::vector<Argument> arguments,
                       const Layout& scratchpad, Share share) {
  if (scratchpad.get_size() > 0) arguments.push_back(out(DNNL_ARG_SCRATCHPAD, scratch(scratchpad)));
  Step step{share, {}, {}, LibraryCall(engine_, primitive, arguments), node_, std::move(what), -1};
  for (const Argument& argument : arguments) {
    (argument.written ? step.writes : step.reads).push_back(argument.tensor.buffer);
  }
  steps_.push_back(std::move(step));
}

}  // namespace lepton::cpu
