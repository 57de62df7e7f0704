#include "binding/engine_thread.h"

#include <exception>
#include <utility>

#include "graph/error.h"

namespace lepton::binding {

EngineThread::EngineThread(Napi::Env env)
    : env_(env), to_javascript_(Napi::ThreadSafeFunction::New(env, Napi::Function(), "lepton engine", 0, 1)) {
  to_javascript_.Unref(env);
  thread_ = std::thread([this] { loop(); });
  env.AddCleanupHook([this] { stop(); });
}

void EngineThread::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  wake_.notify_one();
  thread_.join();
  to_javascript_.Abort();
}

void EngineThread::submit(Job job) {
  if (!thread_.joinable()) return;
  // A job in flight keeps the process alive, as any pending input or output does.
  if (unfinished_++ == 0) to_javascript_.Ref(env_);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void EngineThread::post(std::function<void(Napi::Env)> call) {
  auto* boxed = new std::function<void(Napi::Env)>(std::move(call));
  const napi_status status = to_javascript_.NonBlockingCall(
      boxed, [](Napi::Env env, Napi::Function, std::function<void(Napi::Env)>* owned) {
        const std::unique_ptr<std::function<void(Napi::Env)>> call(owned);
        if (env != nullptr) (*call)(env);
      });
  if (status != napi_ok) delete boxed;  // the environment is ending
}

void EngineThread::loop() {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    execute(job);
  }
}

void EngineThread::execute(Job& job) {
  std::string code;
  std::string message;
  try {
    job.compute();
  } catch (const EngineError& error) {
    code = error.code();
    message = error.what();
  } catch (const std::exception& error) {
    code = "ENGINE_INTERNAL";
    message = error.what();
  }
  post([this, job = std::move(job), code, message](Napi::Env env) {
    if (--unfinished_ == 0) to_javascript_.Unref(env);
    if (code.empty()) {
      job.finish(env);
    } else {
      job.fail(env, code, message);
    }
  });
}

}  // namespace lepton::binding
