// tercet_engine._core: conversions only. Arrays become spans while the GIL is held, and shapes are
// checked; then it is released and C++ computes. The Python side of this file is _core.pyi.
#include <pybind11/stl.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "arrays.h"
#include "formats/grid.h"
#include "formats/numbers.h"
#include "kernels/registry.h"
#include "lost_pages.h"
#include "packed.h"
#include "packing_choice.h"
#include "py_packed.h"
#include "sampling.h"
#include "tercet/bandwidth.h"
#include "tercet/model_builder.h"

namespace py = pybind11;
using namespace py::literals;

namespace tercet {
namespace {

// Raised whenever a change of the arithmetic changes results: part of every model's fingerprint.
constexpr int kNumericsVersion = 1;

struct PyBuilder {
  ModelBuilder builder;
  std::vector<py::object> kept;
};

Batch AsBatch(const Array<std::int32_t>& token_ids, const Array<std::int32_t>& chunk_starts,
              const Array<std::int32_t>& positions, const Array<std::int32_t>& block_tables,
              const Array<std::int32_t>& outputs) {
  Require(block_tables.ndim() == 2, "block_tables must have two dimensions");
  return {.token_ids = AsSpan(token_ids),
          .chunk_starts = AsSpan(chunk_starts),
          .positions = AsSpan(positions),
          .block_tables = AsSpan(block_tables),
          .max_blocks = static_cast<std::size_t>(block_tables.shape(1)),
          .outputs = AsSpan(outputs)};
}

std::vector<std::string> Names(std::span<const Kernels* const> kernels) {
  std::vector<std::string> names;
  for (const Kernels* set : kernels) {
    names.emplace_back(set->name);
  }
  return names;
}

void BindFunctions(py::module_& m) {
  m.attr("BLOCK_SIZE") = kBlockSize;
  m.attr("NUMERICS_VERSION") = kNumericsVersion;
  m.def("supported_kernels", [] { return Names(SupportedKernels()); });
  m.def("all_kernels", [] { return Names(AllKernels()); });
  m.def(
      "packings",
      [](const std::string& kernels, bool grouped) {
        std::vector<std::string> names;
        for (const WeightPacking& packing :
             Packings(SelectKernels(kernels), {.activation_group = grouped ? kMaxGroup : 0})) {
          names.emplace_back(packing.name());
        }
        return names;
      },
      "kernels"_a, py::kw_only(), "grouped"_a = false);
  m.def("cpu_features", [] { return FeatureNames(DetectCpuFeatures()); });
  m.def(
      "self_test", [](const std::string& kernels) { return SelfTest(SelectKernels(kernels)); },
      "kernels"_a);
  m.def("measure_bandwidth", &MeasureBandwidth, "num_threads"_a, "num_bytes"_a, "num_rounds"_a,
        py::call_guard<py::gil_scoped_release>());
  m.def("tell_of_lost_pages", &TellOfLostPages);
}

Activation ParseActivation(const std::string& name) {
  Require(name == "relu2" || name == "silu",
          "the activation is '" + name + "'; it can be relu2 or silu");
  return name == "relu2" ? Activation::kRelu2 : Activation::kSilu;
}

void BindConfig(py::module_& m) {
  py::class_<ModelConfig>(m, "ModelConfig")
      .def(py::init([](std::size_t num_layers, std::size_t hidden_size,
                       std::size_t intermediate_size, std::size_t num_heads,
                       std::size_t num_kv_heads, std::size_t head_dim, std::size_t vocab_size,
                       std::size_t max_context, float rms_norm_eps,
                       const std::vector<double>& rope_frequencies, double rope_scale,
                       const std::string& activation, bool has_sub_norms, bool has_head_norms,
                       std::optional<float> linear_norm_eps, float embedding_scale,
                       float residual_scale, float logit_scale, std::size_t weight_group,
                       std::size_t activation_group, bool has_two_terms) {
             const ModelConfig config{.num_layers = num_layers,
                                      .hidden_size = hidden_size,
                                      .intermediate_size = intermediate_size,
                                      .num_heads = num_heads,
                                      .num_kv_heads = num_kv_heads,
                                      .head_dim = head_dim,
                                      .vocab_size = vocab_size,
                                      .max_context = max_context,
                                      .rms_norm_eps = rms_norm_eps,
                                      .rope_frequencies = rope_frequencies,
                                      .rope_scale = rope_scale,
                                      .activation = ParseActivation(activation),
                                      .has_sub_norms = has_sub_norms,
                                      .has_head_norms = has_head_norms,
                                      .has_linear_norms = linear_norm_eps.has_value(),
                                      .linear_norm_eps = linear_norm_eps.value_or(0.0F),
                                      .embedding_scale = embedding_scale,
                                      .residual_scale = residual_scale,
                                      .logit_scale = logit_scale,
                                      .grid = {.weight_group = weight_group,
                                               .activation_group = activation_group,
                                               .has_two_terms = has_two_terms}};
             config.Check();
             return config;
           }),
           py::kw_only(), "num_layers"_a, "hidden_size"_a, "intermediate_size"_a, "num_heads"_a,
           "num_kv_heads"_a, "head_dim"_a, "vocab_size"_a, "max_context"_a, "rms_norm_eps"_a,
           "rope_frequencies"_a, "rope_scale"_a, "activation"_a, "has_sub_norms"_a,
           "has_head_norms"_a, "linear_norm_eps"_a, "embedding_scale"_a, "residual_scale"_a,
           "logit_scale"_a, "weight_group"_a, "activation_group"_a, "has_two_terms"_a);
}

// The bytes are a view that somebody keeps alive.
void BindSource(py::module_& m) {
  py::class_<TensorSource>(m, "TensorSource")
      .def(py::init([](const std::string& layout, const Array<std::uint8_t>& data, std::size_t rows,
                       std::size_t cols, float scale, std::size_t rope_head_dim,
                       std::size_t row_stride) {
             const TensorSource source{.layout = ParseLayout(layout),
                                       .data = data.data(),
                                       .num_bytes = static_cast<std::size_t>(data.size()),
                                       .rows = rows,
                                       .cols = cols,
                                       .scale = scale,
                                       .rope_head_dim = rope_head_dim,
                                       .row_stride = row_stride};
             source.Check();
             return source;
           }),
           "layout"_a, py::arg("data").noconvert(), py::kw_only(), "rows"_a, "cols"_a,
           "scale"_a = 1.0F, "rope_head_dim"_a = 0, "row_stride"_a = 0, py::keep_alive<1, 3>())
      .def_property_readonly("row_bytes",
                             [](const TensorSource& self) {
                               TensorSource dense = self;
                               dense.row_stride = 0;
                               return dense.RowBytes();
                             })
      .def(
          "numbers",
          [](const TensorSource& self, std::size_t row) {
            Require(row < self.rows,
                    "row " + std::to_string(row) + " of " + std::to_string(self.rows));
            Array<float> out(static_cast<py::ssize_t>(self.cols));
            ReadNumbers(self, row, out.mutable_data());
            return out;
          },
          "row"_a)
      .def(
          "count_off_grid",
          [](const TensorSource& self, std::size_t num_threads) {
            std::array<std::size_t, kGridGroups.size()> counts{};
            {
              const py::gil_scoped_release release;
              ThreadPool pool(num_threads);
              counts = CountOffGrid(self, pool);
            }
            std::map<std::size_t, std::size_t> by_group;
            for (std::size_t i = 0; i < counts.size(); ++i) {
              by_group[kGridGroups[i]] = counts[i];
            }
            return by_group;
          },
          "num_threads"_a);
}

void BindBuilder(py::module_& m) {
  py::class_<PyBuilder>(m, "ModelBuilder")
      .def(py::init([](const ModelConfig& config, const std::string& kernels,
                       const std::string& head, const std::string& packing, std::size_t num_threads,
                       std::size_t max_batch_tokens, std::size_t max_batch_chunks) {
             const py::gil_scoped_release release;
             return std::unique_ptr<PyBuilder>(
                 new PyBuilder{ModelBuilder(config, {max_batch_tokens, max_batch_chunks},
                                            SelectKernels(kernels), head, num_threads, packing),
                               {}});
           }),
           "config"_a, py::kw_only(), "kernels"_a, "head"_a, "packing"_a, "num_threads"_a,
           "max_batch_tokens"_a, "max_batch_chunks"_a)
      .def_static(
          "weight_bytes",
          [](const ModelConfig& config, const std::string& kernels, const std::string& head,
             const std::string& packing) {
            return ModelBuilder::WeightBytes(config, kernels, head, packing);
          },
          "config"_a, py::kw_only(), "kernels"_a, "head"_a, "packing"_a)
      .def(
          "set_norm",
          [](PyBuilder& self, int layer, const std::string& name, const Array<float>& weight) {
            self.builder.SetNorm(layer, name, AsSpan(weight));
          },
          "layer"_a, "name"_a, py::arg("weight").noconvert())
      .def(
          "set_linear",
          [](PyBuilder& self, int layer, const std::string& name, const TensorSource& source) {
            const py::gil_scoped_release release;
            self.builder.SetLinear(layer, name, source);
          },
          "layer"_a, "name"_a, "source"_a)
      .def(
          "set_bias",
          [](PyBuilder& self, int layer, const std::string& name, const Array<float>& bias) {
            self.builder.SetBias(layer, name, AsSpan(bias));
          },
          "layer"_a, "name"_a, py::arg("bias").noconvert())
      .def(
          "set_embedding",
          [](PyBuilder& self, const py::object& table) {
            self.builder.SetEmbedding(table.cast<const TensorSource&>());
            self.kept.push_back(table);
          },
          py::arg("table"))
      .def(
          "set_head",
          [](PyBuilder& self, const py::object& table) {
            const auto& source = table.cast<const TensorSource&>();
            self.kept.push_back(table);
            const py::gil_scoped_release release;
            self.builder.SetHead(source);
          },
          py::arg("table"))
      .def(
          "set_packed",
          [](PyBuilder& self, int layer, const std::string& name, const py::object& matrix,
             bool in_place) {
            const PackedTiles packed = matrix.cast<const PyTiles&>().get();
            if (in_place) {
              self.kept.push_back(matrix);
            }
            const py::gil_scoped_release release;
            self.builder.SetPacked(layer, name, packed, in_place);
          },
          "layer"_a, "name"_a, "matrix"_a, py::kw_only(), "in_place"_a)
      .def(
          "set_packed_head",
          [](PyBuilder& self, const py::object& table, const py::object& head, bool in_place) {
            const auto& source = table.cast<const TensorSource&>();
            self.kept.push_back(table);
            if (in_place) {
              self.kept.push_back(head);
            }
            if (py::isinstance<PyTiles>(head)) {
              const PackedTiles tiles = head.cast<const PyTiles&>().get();
              const py::gil_scoped_release release;
              self.builder.SetPackedHead(source, tiles, in_place);
              return;
            }
            const PackedPlane plane = head.cast<const PyPlane&>().get();
            const py::gil_scoped_release release;
            self.builder.SetPackedHead(source, plane, in_place);
          },
          py::arg("table"), py::arg("head"), py::kw_only(), "in_place"_a)
      .def("build", [](PyBuilder& self) {
        return std::unique_ptr<PyModel>(new PyModel{self.builder.Build(), std::move(self.kept)});
      });
}

KvKind ParseKv(const std::string& name) {
  Require(name == "bf16" || name == "f32" || name == "int8",
          "keys and values are '" + name + "'; they can be bf16, f32 or int8");
  return name == "bf16" ? KvKind::kBf16 : name == "f32" ? KvKind::kFloat32 : KvKind::kInt8;
}

void BindCache(py::module_& m) {
  py::class_<KVCache>(m, "KVCache")
      .def(py::init([](const PyModel& model, std::size_t num_blocks, const std::string& kind,
                       bool touch) {
             return std::make_unique<KVCache>(model.get().config(), ParseKv(kind), num_blocks,
                                              touch);
           }),
           "model"_a, "num_blocks"_a, py::kw_only(), "kind"_a = "bf16", "touch"_a = false)
      .def_property_readonly("num_blocks", &KVCache::num_blocks)
      .def_static(
          "block_bytes",
          [](const ModelConfig& config, const std::string& kind) {
            return KVCache::BlockBytes(config, ParseKv(kind));
          },
          "config"_a, py::kw_only(), "kind"_a = "bf16");
}

void BindModel(py::module_& m) {
  py::class_<PyModel> model(m, "Model");
  BindSampling(model);
  model
      .def_property_readonly("kernels",
                             [](const PyModel& self) { return self.get().kernels().name; })
      .def_property_readonly("packing", [](const PyModel& self) { return self.get().packing(); })
      .def_property_readonly("num_threads",
                             [](const PyModel& self) { return self.get().num_threads(); })
      .def_property_readonly("weight_bytes",
                             [](const PyModel& self) { return self.get().weight_bytes(); })
      .def_property_readonly("decode_bytes",
                             [](const PyModel& self) { return self.get().decode_bytes(); })
      .def_property_readonly("num_outliers",
                             [](const PyModel& self) { return self.get().num_outliers(); })
      .def_property_readonly("workspace_bytes",
                             [](const PyModel& self) { return self.get().workspace_bytes(); })
      .def(
          "forward",
          [](PyModel& self, KVCache& cache, const Array<std::int32_t>& token_ids,
             const Array<std::int32_t>& chunk_starts, const Array<std::int32_t>& positions,
             const Array<std::int32_t>& block_tables, const Array<std::int32_t>& outputs) {
            Model& core = self.get();
            const Batch batch = AsBatch(token_ids, chunk_starts, positions, block_tables, outputs);
            const py::gil_scoped_release release;
            core.Forward(batch, cache);
          },
          "cache"_a, py::arg("token_ids").noconvert(), py::arg("chunk_starts").noconvert(),
          py::arg("positions").noconvert(), py::arg("block_tables").noconvert(),
          py::arg("outputs").noconvert())
      .def(
          "apply_linear",
          [](PyModel& self, std::size_t layer, const std::string& name, const Array<float>& x) {
            Model& core = self.get();
            const auto [rows, cols] = core.ShapeOf(name);
            Require(x.ndim() == 2 && x.shape(1) == static_cast<py::ssize_t>(cols),
                    "activations must be [n, " + std::to_string(cols) + "]");
            const auto num_tokens = static_cast<std::size_t>(x.shape(0));
            Array<float> out({num_tokens, rows});
            core.ApplyLinear(layer, name, x.data(), num_tokens, out.mutable_data());
            return out;
          },
          "layer"_a, "name"_a, py::arg("activations").noconvert())
      .def("close", [](PyModel& self) {
        self.model.reset();
        self.kept.clear();
      });
}

}  // namespace
}  // namespace tercet

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ engine: arrays in, arrays out.";
  tercet::BindFunctions(m);
  tercet::BindConfig(m);
  tercet::BindSource(m);
  tercet::BindPacked(m);
  tercet::BindBuilder(m);
  tercet::BindSamples(m);
  tercet::BindModel(m);
  tercet::BindCache(m);
}
