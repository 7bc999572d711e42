#include "packed.h"

#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "arrays.h"
#include "formats/tiles.h"
#include "head.h"
#include "kernels/registry.h"
#include "linear.h"
#include "packing_choice.h"
#include "py_packed.h"

namespace py = pybind11;
using namespace py::literals;

namespace tercet {
namespace {

template <typename T>
Array<T> ToArray(std::span<const T> values) {
  return Array<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

PyTiles TilesOf(const Array<std::uint8_t>& tiles, const Array<float>& row_scales,
                const Array<std::uint32_t>& places, const Array<float>& values) {
  Require(places.ndim() == 2 && places.shape(1) == 2 && places.shape(0) == values.size(),
          "outliers have a row and a column each, and a value");
  PyTiles made{.tiles = tiles, .row_scales = row_scales, .outliers = {}};
  const std::span<const std::uint32_t> at = AsSpan(places);
  const std::span<const float> value = AsSpan(values);
  made.outliers.reserve(value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    made.outliers.push_back({.row = at[2 * i], .col = at[2 * i + 1], .value = value[i]});
  }
  return made;
}

PyTiles Pack(const TensorSource& source, Grid grid, float multiplier, std::size_t num_threads) {
  std::optional<Linear> linear;
  {
    const py::gil_scoped_release release;
    source.Check();
    grid.Check();
    const WeightPacking packing =
        grid.group() == 0 ? WeightPacking{.plain = &kTilesPacking, .grid = grid}
                          : WeightPacking{.grouped = &kGroupedTilesPacking, .grid = grid};
    linear.emplace(packing, std::array{source.rows}, source.cols);
    ThreadPool pool(num_threads);
    linear->Pack(pool, 0, source, multiplier);
  }
  const PackedTiles packed = linear->Contents();
  return {.tiles = ToArray(packed.tiles),
          .row_scales = ToArray(packed.row_scales),
          .outliers = {packed.outliers.begin(), packed.outliers.end()}};
}

PyPlane PackHead(const TensorSource& table, const std::string& kernels, std::size_t num_threads) {
  std::optional<Head> head;
  {
    const py::gil_scoped_release release;
    table.Check();
    head.emplace(HeadKind::kInt8, table.rows, table.cols, WeightPacking{});
    ThreadPool pool(num_threads);
    head->Pack(SelectKernels(kernels), pool, table);
  }
  const PackedPlane plane = head->Contents();
  return {.high = ToArray(plane.high),
          .row_scales = ToArray(plane.row_scales),
          .screen_scales = ToArray(plane.screen_scales),
          .margins = ToArray(plane.margins)};
}

}  // namespace

void BindPacked(py::module_& m) {
  py::class_<PyTiles>(m, "PackedTiles")
      .def(py::init(&TilesOf), py::arg("tiles").noconvert(), py::kw_only(),
           py::arg("row_scales").noconvert(), py::arg("outlier_places").noconvert(),
           py::arg("outlier_values").noconvert())
      .def_readonly("tiles", &PyTiles::tiles)
      .def_readonly("row_scales", &PyTiles::row_scales)
      .def_property_readonly(
          "outlier_places",
          [](const PyTiles& self) {
            Array<std::uint32_t> places(
                {static_cast<py::ssize_t>(self.outliers.size()), py::ssize_t{2}});
            std::uint32_t* to = places.mutable_data();
            for (const Outlier& one : self.outliers) {
              *to++ = one.row;
              *to++ = one.col;
            }
            return places;
          })
      .def_property_readonly("outlier_values", [](const PyTiles& self) {
        Array<float> values(static_cast<py::ssize_t>(self.outliers.size()));
        float* to = values.mutable_data();
        for (const Outlier& one : self.outliers) {
          *to++ = one.value;
        }
        return values;
      });
  py::class_<PyPlane>(m, "PackedPlane")
      .def(py::init([](const Array<std::uint8_t>& high, const Array<float>& row_scales,
                       const Array<float>& screen_scales, const Array<float>& margins) {
             return PyPlane{high, row_scales, screen_scales, margins};
           }),
           py::arg("high").noconvert(), py::kw_only(), py::arg("row_scales").noconvert(),
           py::arg("screen_scales").noconvert(), py::arg("margins").noconvert())
      .def_readonly("high", &PyPlane::high)
      .def_readonly("row_scales", &PyPlane::row_scales)
      .def_readonly("screen_scales", &PyPlane::screen_scales)
      .def_readonly("margins", &PyPlane::margins);
  m.def(
      "pack_tiles",
      [](const TensorSource& source, std::size_t weight_group, std::size_t activation_group,
         float multiplier, std::size_t num_threads) {
        return Pack(source, {weight_group, activation_group}, multiplier, num_threads);
      },
      "source"_a, py::kw_only(), "weight_group"_a, "activation_group"_a, "multiplier"_a,
      "num_threads"_a);
  m.def("pack_head", &PackHead, "source"_a, py::kw_only(), "kernels"_a, "num_threads"_a);
  m.def(
      "tiles_packing",
      [](const std::string& kernels, bool grouped) -> std::optional<std::string> {
        for (const WeightPacking& packing :
             Packings(SelectKernels(kernels), {.activation_group = grouped ? kMaxGroup : 0})) {
          if (packing.is_tiles()) {
            return packing.name();
          }
        }
        return std::nullopt;
      },
      "kernels"_a, py::kw_only(), "grouped"_a);
}

}  // namespace tercet
