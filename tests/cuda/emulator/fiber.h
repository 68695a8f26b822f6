// Stacks that run in turn on one thread of the machine: one for each CUDA thread of a block.
#pragma once

#include <cstddef>
#include <memory>

namespace emulated {

class Fiber {
 public:
  // Stands for the stack that the program started on.
  Fiber();
  // Runs entry(argument) when it is first switched to; entry must not return.
  Fiber(void (*entry)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Goes on in `to` until something switches back here.
  void switch_to(Fiber& to);

  struct Context;

 private:
  std::unique_ptr<Context> context_;
};

}  // namespace emulated
