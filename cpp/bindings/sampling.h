// Model.sample, Model.hidden and Model.logits.
#pragma once

#include "arrays.h"

namespace tercet {

void BindSamples(pybind11::module_& m);
void BindSampling(pybind11::class_<PyModel>& model);

}  // namespace tercet
