#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "machine.h"
#include "races.h"

namespace emulated {
namespace {

struct Region {
  uintptr_t begin;
  size_t bytes;
  bool writable;
  std::string name;
};

std::map<uintptr_t, Region>& regions() {
  static std::map<uintptr_t, Region> all;
  return all;
}

const Region* last_region = nullptr;

// The buffer that holds the address, or that it is closest behind; null before all of them.
const Region* region_before(uintptr_t address) {
  auto next = regions().upper_bound(address);
  return next == regions().begin() ? nullptr : &std::prev(next)->second;
}

bool holds(const Region& region, uintptr_t address, size_t bytes) {
  return address >= region.begin && address - region.begin + bytes <= region.bytes;
}

std::string describe(const char* kind, bool write, uintptr_t address, size_t bytes) {
  return std::string(kind) + (write ? " write of " : " read of ") + std::to_string(bytes) +
         " bytes " + (address % bytes ? "that is not aligned" : "out of bounds");
}

struct SharedMemory {
  unsigned char* data = nullptr;
  size_t bytes = 0;
  RaceCheck races;
};

SharedMemory& shared() {
  static SharedMemory memory;
  return memory;
}

struct Copy {
  void* to;
  const void* from;
  int size, bytes, group;
};

struct ThreadCopies {
  std::vector<Copy> copies;
  int group = 0;  // the one that is being filled
};

ThreadCopies& thread_copies(int thread) {
  static std::vector<ThreadCopies> all(1024);
  return all[thread];
}

void write_copy(const Copy& copy) {
  check_shared(copy.to, copy.bytes, true);
  std::memset(copy.to, 0, copy.bytes);
  if (copy.size) std::memcpy(copy.to, copy.from, copy.size);
}

}  // namespace

Buffer::Buffer(const std::string& name, size_t bytes, bool writable) : bytes_(bytes) {
  data_ = static_cast<char*>(std::aligned_alloc(16, std::max<size_t>(16, (bytes + 15) / 16 * 16)));
  std::memset(data_, 0xff, bytes);
  const auto begin = reinterpret_cast<uintptr_t>(data_);
  regions()[begin] = {begin, bytes, writable, name};
  last_region = nullptr;
}

Buffer::Buffer(const std::string& name, const void* data, size_t bytes)
    : Buffer(name, bytes, false) {
  if (bytes) std::memcpy(data_, data, bytes);
}

Buffer::~Buffer() {
  regions().erase(reinterpret_cast<uintptr_t>(data_));
  last_region = nullptr;
  std::free(data_);
}

void check_global(const void* pointer, size_t bytes, bool write) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  if (!last_region || !holds(*last_region, address, bytes)) last_region = region_before(address);
  if (last_region && holds(*last_region, address, bytes) && address % bytes == 0) {
    if (write && !last_region->writable)
      fail("write to " + last_region->name + ", which is read-only");
    return;
  }
  std::string place = ", far from all buffers";
  if (last_region)
    place = ", " + std::to_string(address - last_region->begin) + " bytes from the begin of " +
            last_region->name + ", which has " + std::to_string(last_region->bytes);
  fail(describe("global", write, address, bytes) + place);
}

void check_shared(const void* pointer, size_t bytes, bool write) {
  SharedMemory& memory = shared();
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const auto begin = reinterpret_cast<uintptr_t>(memory.data);
  if (address < begin || address - begin + bytes > memory.bytes || address % bytes)
    fail(describe("shared", write, address, bytes) + ", " +
         std::to_string(static_cast<int64_t>(address - begin)) + " bytes from the begin of " +
         std::to_string(memory.bytes));
  if (!options().check_races) return;
  const std::string race = memory.races.access(address - begin, bytes, write, now());
  if (!race.empty()) fail(race);
}

void check_atomic(const void* pointer, size_t bytes) {
  SharedMemory& memory = shared();
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const auto begin = reinterpret_cast<uintptr_t>(memory.data);
  if (address < begin || address >= begin + memory.bytes) {
    check_global(pointer, bytes, true);
    return;
  }
  if (address - begin + bytes > memory.bytes || address % bytes)
    fail(describe("shared", true, address, bytes));
  memory.races.written(address - begin, bytes);
}

void clear_shared(size_t bytes) {
  SharedMemory& memory = shared();
  if (memory.bytes != bytes || !memory.data) {
    std::free(memory.data);
    memory.data = static_cast<unsigned char*>(
        std::aligned_alloc(16, std::max<size_t>(16, (bytes + 15) / 16 * 16)));
    memory.bytes = bytes;
  }
  memory.races.clear(bytes);
}

unsigned char* shared_base() { return shared().data; }

void start_copy(void* to, const void* from, int size, int bytes) {
  if (size < 0 || size > bytes) fail("an asynchronous copy of more bytes than it writes");
  // The source's begin must be aligned and inside even where less than the whole is read.
  if (reinterpret_cast<uintptr_t>(from) % bytes) check_global(from, bytes, false);
  for (int i = 0; i < size; i += 2) check_global(static_cast<const char*>(from) + i, 2, false);
  ThreadCopies& mine = thread_copies(now().thread);
  const Copy copy{to, from, size, bytes, mine.group};
  if (options().late_copies)
    mine.copies.push_back(copy);
  else
    write_copy(copy);
}

void end_copy_group() { ++thread_copies(now().thread).group; }

void finish_copies(int pending) {
  ThreadCopies& mine = thread_copies(now().thread);
  const int last = mine.group - pending;
  size_t done = 0;
  while (done < mine.copies.size() && mine.copies[done].group < last)
    write_copy(mine.copies[done++]);
  mine.copies.erase(mine.copies.begin(), mine.copies.begin() + done);
}

void forget_copies(int thread) {
  ThreadCopies& mine = thread_copies(thread);
  mine.copies.clear();
  mine.group = 0;
}

}  // namespace emulated
