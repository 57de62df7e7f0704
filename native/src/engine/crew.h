// Threads that take pieces of one piece of work off the thread that has it. They sleep in between.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace lepton {

class Crew {
 public:
  explicit Crew(std::int64_t helpers);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// work(i) for each i in [0, pieces), in any order, on the caller's thread and those of the crew; returns
  /// when all of it is done. A helper that wakes up too late is not waited for. `work` must not throw. One
  /// caller at a time.
  void run(std::int64_t pieces, const std::function<void(std::int64_t)>& work);

 private:
  void help();
  void take(const std::function<void(std::int64_t)>& work, std::int64_t pieces);

  std::atomic<std::int64_t> next_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_, left_;
  const std::function<void(std::int64_t)>* work_ = nullptr;  // null: nothing to join
  std::int64_t pieces_ = 0;
  int helping_ = 0;
  bool over_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lepton
