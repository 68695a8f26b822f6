#include "cpu/thread_pool.h"

namespace lnx {
namespace {

constexpr int kSpins = 2000;

void pause() {
#if LNX_X86
  __builtin_ia32_pause();
#endif
}

}  // namespace

void Barrier::wait() {
  if (members_ == 1) return;
  const unsigned generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    arrived_.store(0, std::memory_order_relaxed);
    {
      // Under the lock, so that no member falls asleep between its look and this change.
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.store(generation + 1, std::memory_order_release);
    }
    released_.notify_all();
    return;
  }
  for (int i = 0; i < kSpins; ++i) {
    if (generation_.load(std::memory_order_acquire) != generation) return;
    pause();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  released_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != generation; });
}

ThreadPool::ThreadPool(int members) : barrier_(members) {
  try {
    for (int i = 1; i < members; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::run(const std::function<void(int)>& job) {
  if (threads_.empty()) {
    job(0);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    job_ = &job;
    ++round_;
  }
  wake_.notify_all();
  job(0);
  barrier_.wait();
}

void ThreadPool::work(int member) {
  unsigned seen = 0;
  for (;;) {
    const std::function<void(int)>* job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
      job = job_;
    }
    (*job)(member);
    barrier_.wait();
  }
}

}  // namespace lnx
