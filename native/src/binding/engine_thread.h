// The engine's own thread, one per JavaScript environment: computes in order, reports back on the JavaScript
// thread.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace lepton::binding {

/// Work that throws ends in `fail`, everything else in `finish`; both run on the JavaScript thread.
struct Job {
  std::function<void()> compute;          // engine's thread: no JavaScript values
  std::function<void(Napi::Env)> finish;  // JavaScript thread
  std::function<void(Napi::Env, const std::string& code, const std::string& message)> fail;
};

class EngineThread {
 public:
  explicit EngineThread(Napi::Env env);
  ~EngineThread() { stop(); }
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  /// Waits for the job that runs, drops those that wait and those that come later. Runs as a cleanup hook:
  /// later, the environment has freed the thread-safe function already. A process that exits runs no such
  /// hooks: it calls this by itself, before the objects that jobs use are destroyed.
  void stop();

  void submit(Job job);
  /// From the engine's thread: runs `call` on the JavaScript thread, in the order of posting. Dropped when
  /// the environment ends.
  void post(std::function<void(Napi::Env)> call);

 private:
  void loop();
  void execute(Job& job);

  Napi::Env env_;
  Napi::ThreadSafeFunction to_javascript_;
  int unfinished_ = 0;  // JavaScript thread only: while above zero the process stays alive
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lepton::binding
