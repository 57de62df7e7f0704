#include "engine/crew.h"

namespace lepton {

Crew::Crew(std::int64_t helpers) {
  for (std::int64_t i = 0; i < helpers; ++i) threads_.emplace_back([this] { help(); });
}

Crew::~Crew() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Crew::run(std::int64_t pieces, const std::function<void(std::int64_t)>& work) {
  {
    const std::lock_guard lock(mutex_);
    next_ = 0;
    pieces_ = pieces;
    work_ = &work;
  }
  wake_.notify_all();
  take(work, pieces);
  std::unique_lock lock(mutex_);
  work_ = nullptr;
  left_.wait(lock, [this] { return helping_ == 0; });
}

void Crew::help() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return over_ || (work_ != nullptr && next_ < pieces_); });
    if (over_) return;
    ++helping_;
    const auto* work = work_;
    const std::int64_t pieces = pieces_;
    lock.unlock();
    take(*work, pieces);
    lock.lock();
    if (--helping_ == 0) left_.notify_one();
  }
}

void Crew::take(const std::function<void(std::int64_t)>& work, std::int64_t pieces) {
  for (std::int64_t i = next_++; i < pieces; i = next_++) work(i);
}

}  // namespace lepton
