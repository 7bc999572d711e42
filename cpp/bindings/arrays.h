// What every binding needs: numpy arrays as spans, and the model with the tables it reads.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tercet/model.h"

namespace tercet {

template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

template <typename T>
std::span<const T> AsSpan(const Array<T>& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

inline void Require(bool holds, const std::string& otherwise) {
  if (!holds) {
    throw std::invalid_argument(otherwise);
  }
}

// A model and the tables it reads without having copied them.
struct PyModel {
  std::unique_ptr<Model> model;
  std::vector<pybind11::object> kept;

  Model& get() const {
    Require(model != nullptr, "the model is closed");
    return *model;
  }
};

}  // namespace tercet
