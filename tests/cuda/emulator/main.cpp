// Runs jobs that tests/cuda/emulated.py wrote, and writes what came of each: an error or nothing,
// then the bytes of its output.
//
//     emulator jobs.bin results.bin
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "../../cpp/case_reader.h"
#include "jobs.h"

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: emulator JOBS RESULTS\n");
    return 2;
  }
  lnx_test::CaseReader reader(arguments[1]);
  std::ofstream results(arguments[2], std::ios::binary);
  const auto write = [&](const std::string& bytes) {
    const uint64_t size = bytes.size();
    for (int i = 0; i < 8; ++i) results.put(static_cast<char>(size >> 8 * i));
    results.write(bytes.data(), static_cast<std::streamsize>(size));
  };
  while (!reader.at_end()) {
    const std::unique_ptr<Job> job = read_job(reader);
    std::string error;
    std::string output;
    try {
      output = job->run();
    } catch (const std::exception& caught) {
      error = caught.what();
    }
    write(error);
    write(output);
  }
  results.flush();
  return results ? 0 : 1;
}
