#include "cpu/thread_pool.h"

#include <unistd.h>

#include <map>
#include <system_error>

namespace lnx {
namespace {

constexpr int kPartBits = 20;
constexpr uint64_t kPartMask = (uint64_t{1} << kPartBits) - 1;

// Waits a moment: some microseconds busily, then by giving the processor away.
class Patience {
 public:
  void wait() {
    if (++rounds_ > kBusyRounds) {
      std::this_thread::yield();
      return;
    }
#if LNX_X86
    __builtin_ia32_pause();
#endif
  }

 private:
  static constexpr int kBusyRounds = 1000;
  int rounds_ = 0;
};

}  // namespace

ThreadPool::ThreadPool(int members) {
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
  changed_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::wake(bool awake) {
  if (threads_.empty()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    awake_.store(awake, std::memory_order_relaxed);
  }
  if (awake) changed_.notify_all();
}

void ThreadPool::share(int parts, Function function, const void* context) {
  if (threads_.empty() || parts == 1) {
    for (int part = 0; part < parts; ++part) function(context, part, 0);
    return;
  }
  function_ = function;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t call = (ticket_.load(std::memory_order_relaxed) >> 2 * kPartBits) + 1;
  ticket_.store(call << 2 * kPartBits | static_cast<uint64_t>(parts) << kPartBits,
                std::memory_order_release);
  while (do_part(0)) {
  }
  Patience patience;
  while (done_.load(std::memory_order_acquire) != parts) patience.wait();
}

// Claims and does one part, if there is one left.
bool ThreadPool::do_part(int member) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  uint64_t part;
  do {
    part = ticket & kPartMask;
    if (part >= (ticket >> kPartBits & kPartMask)) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
  function_(context_, static_cast<int>(part), member);
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void ThreadPool::work(int member) {
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || awake_.load(std::memory_order_relaxed); });
      if (stopping_) return;
    }
    Patience patience;
    while (awake_.load(std::memory_order_relaxed)) {
      if (do_part(member)) {
        patience = Patience();
      } else {
        patience.wait();
      }
    }
  }
}

std::shared_ptr<SharedPools> SharedPools::get(int members) {
  // Never destroyed: networks may outlive static objects.
  static std::mutex& mutex = *new std::mutex;
  static auto& known = *new std::map<int, std::weak_ptr<SharedPools>>;
  std::lock_guard<std::mutex> lock(mutex);
  std::weak_ptr<SharedPools>& entry = known[members];
  std::shared_ptr<SharedPools> pools = entry.lock();
  if (!pools || !pools->in_own_process()) entry = pools = std::make_shared<SharedPools>(members);
  return pools;
}

SharedPools::SharedPools(int members) : members_(members), owner_(getpid()) {
  idle_.push_back(std::make_unique<ThreadPool>(members));
}

SharedPools::~SharedPools() {
  if (in_own_process()) return;
  // Joining threads that are not here, or destroying what they wait on, would never end.
  for (std::unique_ptr<ThreadPool>& pool : idle_) static_cast<void>(pool.release());
}

std::unique_ptr<ThreadPool> SharedPools::take() {
  // Before the lock, which another thread may have held when the process was forked.
  if (!in_own_process()) return nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<ThreadPool> pool = std::move(idle_.back());
      idle_.pop_back();
      return pool;
    }
  }
  try {
    return std::make_unique<ThreadPool>(members_);
  } catch (const std::system_error&) {
    return nullptr;  // the system is out of threads: the run goes on with its own
  }
}

void SharedPools::give_back(std::unique_ptr<ThreadPool> pool) {
  std::lock_guard<std::mutex> lock(mutex_);
  idle_.push_back(std::move(pool));
}

bool SharedPools::in_own_process() const { return getpid() == owner_; }

}  // namespace lnx
