#include "fiber.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdint>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(LNX_EMULATED_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace emulated {

constexpr size_t kStackBytes = 256 << 10;

// ucontext makes a stack; between stacks that have run already, _setjmp and _longjmp switch, since
// swapcontext calls the kernel each time. Sanitizers know swapcontext only.
struct Fiber::Context {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  size_t size = 0;
  void* fake_stack = nullptr;
#elif defined(LNX_EMULATED_TSAN)
  void* tsan = nullptr;
#else
  jmp_buf jump;
  bool started = false;
#endif
};

namespace {

#if defined(__SANITIZE_ADDRESS__)
Fiber::Context* previous = nullptr;

void arrive(Fiber::Context& here) {
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(here.fake_stack, &bottom, &size);
  if (!previous->bottom) {
    previous->bottom = bottom;
    previous->size = size;
  }
}
#endif

// makecontext hands over integers only.
void begin(unsigned high, unsigned low) {
  auto* const here = reinterpret_cast<Fiber::Context*>(static_cast<uintptr_t>(high) << 32 | low);
#if defined(__SANITIZE_ADDRESS__)
  arrive(*here);
#endif
  here->entry(here->argument);
}

}  // namespace

Fiber::Fiber() : context_(std::make_unique<Context>()) {
#if defined(LNX_EMULATED_TSAN)
  context_->tsan = __tsan_get_current_fiber();
#elif !defined(__SANITIZE_ADDRESS__)
  context_->started = true;
#endif
}

Fiber::Fiber(void (*entry)(void*), void* argument) : context_(std::make_unique<Context>()) {
  Context& c = *context_;
  c.entry = entry;
  c.argument = argument;
  c.stack.reset(new char[kStackBytes]);
  getcontext(&c.context);
  c.context.uc_stack.ss_sp = c.stack.get();
  c.context.uc_stack.ss_size = kStackBytes;
  c.context.uc_link = nullptr;
  const auto address = reinterpret_cast<uintptr_t>(&c);
  makecontext(&c.context, reinterpret_cast<void (*)()>(begin), 2,
              static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
#if defined(__SANITIZE_ADDRESS__)
  c.bottom = c.stack.get();
  c.size = kStackBytes;
#elif defined(LNX_EMULATED_TSAN)
  c.tsan = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(LNX_EMULATED_TSAN)
  if (context_->stack) __tsan_destroy_fiber(context_->tsan);
#endif
}

void Fiber::switch_to(Fiber& to) {
  Context& here = *context_;
  Context& there = *to.context_;
#if defined(__SANITIZE_ADDRESS__)
  previous = &here;
  __sanitizer_start_switch_fiber(&here.fake_stack, there.bottom, there.size);
  swapcontext(&here.context, &there.context);
  arrive(here);
#elif defined(LNX_EMULATED_TSAN)
  // No synchronisation: that is left to the barriers of the kernel.
  __tsan_switch_to_fiber(there.tsan, __tsan_switch_to_fiber_no_sync);
  swapcontext(&here.context, &there.context);
#else
  if (_setjmp(here.jump)) return;
  if (there.started) _longjmp(there.jump, 1);
  there.started = true;
  setcontext(&there.context);
#endif
}

}  // namespace emulated
