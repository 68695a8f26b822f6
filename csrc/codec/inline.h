// Coding one decision takes a few nanoseconds, less than it takes to keep the coder's state in
// memory around a call. So what happens for each decision is inlined, wherever the compiler would
// stop.
#pragma once

#define LNX_INLINE [[gnu::always_inline]] inline
