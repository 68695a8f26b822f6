#include "machine.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "collective.h"
#include "fiber.h"
#include "memory.h"

#ifdef LNX_EMULATED_TSAN
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

namespace emulated {
namespace {

constexpr int kMaxThreads = 1024;

enum class State { kReady, kAtBlock, kAtWarp, kDone };

struct Thread {
  int index = 0;
  int place = 0;  // in the block's order
  State state = State::kReady;
  int line = 0;
  std::unique_ptr<Fiber> fiber;
};

// One block at a time; the stacks are used again by the next one.
struct Machine {
  Fiber main;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<int> order;  // of threads
  const std::function<void()>* body = nullptr;
  Thread* current = nullptr;
  Index grid{}, block{};
  int count = 0;          // threads of the block
  int arrived = 0;        // at the block's barrier
  uint32_t meetings = 0;  // barriers so far, all blocks together
  std::string error;
  char barrier_tag = 0, start_tag = 0, end_tag = 0;
};

Machine& machine() {
  static Machine the_machine;
  return the_machine;
}

std::string where(const Thread& thread) {
  const Machine& m = machine();
  return "thread " + std::to_string(thread.index) + " of block (" + std::to_string(m.block.x) +
         ", " + std::to_string(m.block.y) + ")";
}

const char* name(State state) {
  switch (state) {
    case State::kReady:
      return "runs";
    case State::kAtBlock:
      return "waits for the block";
    case State::kAtWarp:
      return "waits for its warp";
    default:
      return "has ended";
  }
}

[[noreturn]] void abandon(const std::string& message) {
  Machine& m = machine();
  m.error = message;
  __tsan_release(&m.end_tag);
  m.current->fiber->switch_to(m.main);
  std::terminate();  // an abandoned thread does not come back
}

// Goes on with the next thread that can, in the block's order; with the machine when all have
// ended.
void next_thread() {
  Machine& m = machine();
  Thread& from = *m.current;
  __tsan_release(&m.end_tag);  // the machine may end the run while this thread waits
  bool all_done = true;
  for (int i = 1; i <= m.count; ++i) {
    Thread& to = m.threads[m.order[(from.place + i) % m.count]];
    all_done = all_done && to.state == State::kDone;
    if (to.state != State::kReady) continue;
    if (&to == &from) return;
    m.current = &to;
    from.fiber->switch_to(*to.fiber);
    return;
  }
  if (all_done) {
    from.fiber->switch_to(m.main);
    return;
  }
  std::string message = "divergent barrier: ";
  const Thread* last = nullptr;
  for (int i = 0; i < m.count; ++i) {
    const Thread& thread = m.threads[i];
    if (last && last->state == thread.state && last->line == thread.line) continue;
    message +=
        where(thread) + " " + name(thread.state) +
        (thread.state == State::kDone ? "; " : " at line " + std::to_string(thread.line) + "; ");
    last = &thread;
  }
  abandon(message + "and none can go on");
}

void thread_entry(void* argument) {
  Thread& self = *static_cast<Thread*>(argument);
  Machine& m = machine();
  while (true) {
    __tsan_acquire(&m.start_tag);
    (*m.body)();
    self.state = State::kDone;
    forget_copies(self.index);
    next_thread();
  }
}

void prepare(int threads) {
  Machine& m = machine();
  if (!m.error.empty()) {
    m.threads.clear();  // abandoned in the middle
    m.error.clear();
  }
  m.count = threads;
  m.threads.reserve(kMaxThreads);  // stacks point to them
  while (static_cast<int>(m.threads.size()) < threads) m.threads.emplace_back();
  for (int i = 0; i < static_cast<int>(m.threads.size()); ++i) {
    Thread& thread = m.threads[i];
    thread.index = i;
    if (!thread.fiber) thread.fiber = std::make_unique<Fiber>(thread_entry, &thread);
  }
  m.warps.assign((threads + 31) / 32, Warp{});
  m.order.resize(threads);
  std::iota(m.order.begin(), m.order.end(), 0);
  if (options().order == 1) std::reverse(m.order.begin(), m.order.end());
}

void run_block(Index block) {
  Machine& m = machine();
  m.block = block;
  m.arrived = 0;
  ++m.meetings;
  for (int i = 0; i < m.count; ++i) {
    Thread& thread = m.threads[m.order[i]];
    thread.place = i;
    thread.state = State::kReady;
    thread.line = 0;
  }
  m.current = &m.threads[m.order[0]];
  __tsan_release(&m.start_tag);
  m.main.switch_to(*m.current->fiber);
  __tsan_acquire(&m.end_tag);
  if (!m.error.empty()) throw KernelError(m.error);
}

int lane() { return machine().current->index % 32; }

// Arrives at an operation with `give`, waits until all lanes of the mask are there, when the last
// one calls `complete`, and takes the result of `take`.
template <typename Give, typename Complete, typename Take>
auto meet(Operation operation, uint32_t mask, int line, Give&& give, Complete&& complete,
          Take&& take) {
  Machine& m = machine();
  Warp& w = m.warps[m.current->index / 32];
  Thread& self = *m.current;
  std::string wrong;
  Meeting* const meeting = w.join(lane(), operation, mask, line, wrong);
  if (!meeting) fail("at line " + std::to_string(line) + ", " + wrong);
  give(*meeting);
  self.line = line;
  __tsan_release(meeting);
  if (!meeting->complete()) {
    self.state = State::kAtWarp;
    next_thread();
  } else {
    complete(*meeting);
    if (operation == Operation::kSync && mask == 0xffffffffu) ++w.barriers;
    const int first = self.index / 32 * 32;
    for (int i = first; i < std::min(first + 32, m.count); ++i)
      if (mask >> (i - first) & 1) m.threads[i].state = State::kReady;
  }
  if (operation == Operation::kSync) __tsan_acquire(meeting);
  const auto result = take(*meeting);
  Warp::leave(*meeting, lane());
  return result;
}

constexpr auto kNothing = [](Meeting&) { return 0; };

}  // namespace

Options& options() {
  static Options the_options;
  return the_options;
}

void run_grid(Index grid, int threads, size_t shared_bytes, const std::function<void()>& body) {
  Machine& m = machine();
  if (threads < 1 || threads > kMaxThreads) throw KernelError("a block has 1 to 1024 threads");
  if (grid.y > 65535 || grid.z > 65535) throw KernelError("a grid has at most 65535 rows");
  prepare(threads);
  m.grid = grid;
  m.body = &body;
  std::mt19937_64 random(options().order);
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; ++i) {
    if (options().order > 1) std::shuffle(m.order.begin(), m.order.end(), random);
    const uint64_t at = options().order % 2 == 0 ? i : blocks - 1 - i;
    clear_shared(shared_bytes);
    run_block({static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
               static_cast<unsigned>(at / grid.x / grid.y)});
  }
}

Index thread_index() { return {static_cast<unsigned>(machine().current->index), 0, 0}; }
Index block_index() { return machine().block; }
Index block_size() { return {static_cast<unsigned>(machine().count), 1, 1}; }
Index grid_size() { return machine().grid; }

void fail(const std::string& message) { abandon(where(*machine().current) + ": " + message); }

Moment now() {
  const Machine& m = machine();
  return {m.current->index, m.meetings, m.warps[m.current->index / 32].barriers};
}

void sync_block(int line) {
  Machine& m = machine();
  Thread& self = *m.current;
  self.line = line;
  __tsan_release(&m.barrier_tag);
  if (++m.arrived < m.count) {
    self.state = State::kAtBlock;
    next_thread();
  } else {
    for (int i = 0; i < m.count; ++i) {
      if (m.threads[i].line != line)
        fail("divergent barrier: the others are at line " + std::to_string(m.threads[i].line) +
             ", this one at line " + std::to_string(line));
      m.threads[i].state = State::kReady;
    }
    m.arrived = 0;
    ++m.meetings;
  }
  __tsan_acquire(&m.barrier_tag);
}

void sync_warp(uint32_t mask, int line) {
  meet(Operation::kSync, mask, line, kNothing, kNothing, kNothing);
}

uint32_t exchange(uint32_t mask, uint32_t value, int source, int line) {
  if (source < 0 || source > 31 || !(mask >> source & 1))
    fail("wrong lane: a shuffle at line " + std::to_string(line) + " reads lane " +
         std::to_string(source) + ", which takes no part in it");
  return meet(
      Operation::kExchange, mask, line, [&](Meeting& m) { m.values[lane()] = value; }, kNothing,
      [&](Meeting& m) { return m.values[source]; });
}

uint32_t ballot(uint32_t mask, bool vote, int line) {
  return meet(
      Operation::kExchange, mask, line, [&](Meeting& m) { m.values[lane()] = vote; }, kNothing,
      [&](Meeting& m) {
        uint32_t result = 0;
        for (int i = 0; i < 32; ++i)
          if (mask >> i & 1) result |= m.values[i] << i;
        return result;
      });
}

void mma_sync(const MmaLane& operands, int depth, PairKind kind, int line) {
  meet(
      Operation::kMma, 0xffffffffu, line, [&](Meeting& m) { m.operands[lane()] = operands; },
      [&](Meeting& m) {
        multiply_fragments(m.operands, depth, kind);
        return 0;
      },
      kNothing);
}

}  // namespace emulated
