// A fixed team of threads that shares parts of work. Idle threads sleep.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace lnx {

// Parts are claimed one by one, so the caller never waits for a thread that the system has not
// scheduled: if need be it does all parts by itself.
class ThreadPool {
 public:
  static constexpr int kMaxParts = (1 << 20) - 1;

  // The calling thread is member 0; members - 1 threads are started.
  explicit ThreadPool(int members);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int members() const { return static_cast<int>(threads_.size()) + 1; }

  // While one lives, threads are awake and wait for parts. One at a time. Null has no threads.
  class Awake {
   public:
    explicit Awake(ThreadPool* pool) : pool_(pool) {
      if (pool_) pool_->wake(true);
    }
    ~Awake() {
      if (pool_) pool_->wake(false);
    }
    Awake(const Awake&) = delete;
    Awake& operator=(const Awake&) = delete;

   private:
    ThreadPool* pool_;
  };

  // Calls job(part, member) for each part below `parts`, on any member, and returns when all are
  // done. The job must not throw. Only under an Awake, from the thread that made it.
  template <typename Job>
  void share(int parts, const Job& job) {
    share(
        parts,
        [](const void* context, int part, int member) {
          (*static_cast<const Job*>(context))(part, member);
        },
        &job);
  }

 private:
  using Function = void (*)(const void* context, int part, int member);

  void share(int parts, Function function, const void* context);
  void wake(bool awake);
  void work(int member);
  bool do_part(int member);
  void stop();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::atomic<bool> awake_{false};

  // Which parts are left: number of the call (24 bits), its parts (20 bits), the next one (20
  // bits). All in one word, so that a claim cannot mix two calls.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int> done_{0};
  // Of the current call. A thread reads them after its claim, which the call then waits for.
  Function function_ = nullptr;
  const void* context_ = nullptr;
  std::vector<std::thread> threads_;
};

// The idle pools of one size in this process, which all networks of that many threads share: a run
// borrows one. There are as many pools as runs were ever under way at once, not as networks.
class SharedPools {
 public:
  // Those of this process, with at least one pool; they live as long as someone holds them.
  static std::shared_ptr<SharedPools> get(int members);

  explicit SharedPools(int members);
  ~SharedPools();
  SharedPools(const SharedPools&) = delete;
  SharedPools& operator=(const SharedPools&) = delete;

  // A pool, or none where a new one cannot be had, while this lives.
  class Loan {
   public:
    explicit Loan(SharedPools* pools) : pools_(pools), pool_(pools ? pools->take() : nullptr) {}
    ~Loan() {
      if (pool_) pools_->give_back(std::move(pool_));
    }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

    ThreadPool* pool() const { return pool_.get(); }

   private:
    SharedPools* pools_;
    std::unique_ptr<ThreadPool> pool_;
  };

 private:
  std::unique_ptr<ThreadPool> take();
  void give_back(std::unique_ptr<ThreadPool> pool);
  // A forked process has the objects, but not the threads.
  bool in_own_process() const;

  const int members_;
  const pid_t owner_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<ThreadPool>> idle_;
};

}  // namespace lnx
