// The library's tests without Python, for other machines and for sanitizers.
//
//   lnx_test traits        prints the instruction sets of this machine, which plans depend on
//   lnx_test run FILE      runs the cases that write_cases.py wrote
#include <cstdio>
#include <exception>

#include "checks.h"

namespace {

int run_cases(const char* path) {
  lnx_test::CaseReader reader(path);
  int passed = 0, failed = 0;
  while (!reader.at_end()) {
    const std::string kind = reader.text();
    const std::string name = reader.text();
    std::string wrong;
    if (kind == "latents") {
      wrong = lnx_test::check_latents(reader);
    } else if (kind == "integers") {
      wrong = lnx_test::check_integers(reader);
    } else if (kind == "text") {
      wrong = lnx_test::check_text(reader);
    } else if (kind == "weight") {
      wrong = lnx_test::check_weight(reader);
    } else {
#if LNX_RUNTIME
      wrong = lnx_test::check_network(reader);
#else
      std::fprintf(stderr, "this machine has no runtime for case %s\n", name.c_str());
      return 2;
#endif
    }
    ++(wrong.empty() ? passed : failed);
    if (!wrong.empty())
      std::printf("FAILED %s %s: %s\n", kind.c_str(), name.c_str(), wrong.c_str());
  }
  std::printf("%d cases passed, %d failed\n", passed, failed);
  return failed > 0 || passed == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  try {
    if (command == "traits" && argc == 2) {
#if LNX_RUNTIME
      lnx_test::print_traits();
#endif
      return 0;
    }
    if (command == "run" && argc == 3) return run_cases(argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  std::fprintf(stderr, "usage: lnx_test traits | lnx_test run FILE\n");
  return 2;
}
