// Stands in for libFuzzer where the compiler has none: runs the files of a corpus, then random
// mutations of them. It takes the options of libFuzzer that the tests and the Makefile use.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void add_corpus(const std::string& path, std::vector<Bytes>& corpus) {
  if (!std::filesystem::is_directory(path)) {
    corpus.push_back(read_file(path));
    return;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());  // The order of a folder differs from machine to machine.
  for (const auto& file : files) corpus.push_back(read_file(file));
}

void mutate(Bytes& data, size_t max_len, std::mt19937_64& random) {
  for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
    const size_t at = data.empty() ? 0 : random() % data.size();
    switch (random() % 5) {
      case 0:
        if (!data.empty()) data[at] ^= uint8_t(1 << random() % 8);
        break;
      case 1:
        if (!data.empty()) data[at] = uint8_t(random());
        break;
      case 2:
        data.insert(data.begin() + std::ptrdiff_t(at), uint8_t(random()));
        break;
      case 3:
        if (!data.empty()) data.erase(data.begin() + std::ptrdiff_t(at));
        break;
      default:
        for (uint64_t count = random() % 64; count > 0; --count) data.push_back(uint8_t(random()));
    }
  }
  if (data.size() > max_len) data.resize(max_len);
}

}  // namespace

int main(int argc, char** argv) {
  long long runs = -1;
  long long seconds = 0;
  size_t max_len = 4096;
  uint64_t seed = 1;
  std::vector<Bytes> corpus;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::string value = argument.substr(argument.find('=') + 1);
    if (argument.rfind("-runs=", 0) == 0)
      runs = std::atoll(value.c_str());
    else if (argument.rfind("-max_total_time=", 0) == 0)
      seconds = std::atoll(value.c_str());
    else if (argument.rfind("-max_len=", 0) == 0)
      max_len = static_cast<size_t>(std::atoll(value.c_str()));
    else if (argument.rfind("-seed=", 0) == 0)
      seed = static_cast<uint64_t>(std::atoll(value.c_str()));
    else
      add_corpus(argument, corpus);
  }
  if (corpus.empty()) corpus.emplace_back();
  for (const Bytes& data : corpus) LLVMFuzzerTestOneInput(data.data(), data.size());
  std::mt19937_64 random(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  long long done = 0;
  for (; runs < 0 || done < runs; ++done) {
    if (seconds > 0 && std::chrono::steady_clock::now() >= end) break;
    Bytes data = corpus[random() % corpus.size()];
    mutate(data, max_len, random);
    // A finding ends the program, so the input must lie on the disk before it is tried.
    std::ofstream("crash-input", std::ios::binary)
        .write(reinterpret_cast<const char*>(data.data()), std::streamsize(data.size()));
    LLVMFuzzerTestOneInput(data.data(), data.size());
  }
  std::remove("crash-input");
  std::printf("Done %lld runs\n", done + static_cast<long long>(corpus.size()));
  return 0;
}
