// What main.cpp runs. Each function reads one case and returns what is wrong with it, or nothing.
#pragma once

#include <string>

#include "case_reader.h"
#include "lnx/packed_weight.h"

namespace lnx_test {

std::string check_latents(CaseReader& reader);
std::string check_integers(CaseReader& reader);
std::string check_text(CaseReader& reader);
std::string check_weight(CaseReader& reader);
std::string check_network(CaseReader& reader);

lnx::SliceShape read_slice_shape(CaseReader& reader);

// One line for each instruction set: its name and the numbers of IsaTraits.
void print_traits();

}  // namespace lnx_test
