// Matrices in packed form: made for converted models, and read from them.
#pragma once

#include <pybind11/pybind11.h>

namespace tercet {

void BindPacked(pybind11::module_& m);

}  // namespace tercet
