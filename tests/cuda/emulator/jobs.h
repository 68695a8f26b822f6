// What the emulator is asked to do.
#pragma once

#include <memory>
#include <string>

#include "../../cpp/case_reader.h"

class Job {
 public:
  virtual ~Job() = default;
  // The bytes of the output. Throws whatever is wrong.
  virtual std::string run() = 0;
};

// The next job of a file; throws for a kind that there is not.
std::unique_ptr<Job> read_job(lnx_test::CaseReader& reader);
