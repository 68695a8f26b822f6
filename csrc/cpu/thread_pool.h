// A fixed team of threads that runs one function at a time. Idle threads sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace lnx {

// Lets the members of a team wait for each other. Waits are short while a network runs, so members
// spin for some microseconds before they sleep.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait();

 private:
  const int members_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> generation_{0};
  std::mutex mutex_;
  std::condition_variable released_;
};

class ThreadPool {
 public:
  // The calling thread of `run` is member 0; members - 1 threads are started.
  explicit ThreadPool(int members);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int members() const { return static_cast<int>(threads_.size()) + 1; }
  Barrier& barrier() { return barrier_; }

  // Calls job(member) once on every member and returns when all are done. One call at a time; the
  // job must not throw.
  void run(const std::function<void(int)>& job);

 private:
  void work(int member);
  void stop();

  Barrier barrier_;
  std::mutex mutex_;
  std::condition_variable wake_;
  unsigned round_ = 0;
  bool stopping_ = false;
  const std::function<void(int)>* job_ = nullptr;
  std::vector<std::thread> threads_;
};

}  // namespace lnx
