#include "sampling.h"

#include <algorithm>

namespace py = pybind11;

namespace tercet {
namespace {

// A copy of `values` as an array of rows.
template <typename T>
Array<T> AsArray(const std::vector<T>& values, std::size_t num_rows, std::size_t width) {
  Array<T> array({num_rows, width});
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

template <typename T>
Array<T> AsArray(const std::vector<T>& values) {
  return Array<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

Array<float> Logits(const PyModel& self) {
  Model& model = self.get();
  Array<float> logits({model.num_outputs(), model.config().vocab_size});
  float* out = logits.mutable_data();
  {
    const py::gil_scoped_release release;
    model.Logits(out);
  }
  return logits;
}

Array<float> Hidden(PyModel& self, const Array<std::int32_t>& tokens) {
  Model& model = self.get();
  const std::span<const std::int32_t> places = AsSpan(tokens);
  Array<float> hidden({places.size(), model.config().hidden_size});
  float* out = hidden.mutable_data();
  {
    const py::gil_scoped_release release;
    model.Hidden(places, out);
  }
  return hidden;
}

}  // namespace

void BindSamples(py::module_& m) {
  m.attr("MAX_LOGPROBS") = kMaxLogprobs;
  py::class_<Samples>(m, "Samples")
      .def_property_readonly("tokens", [](const Samples& self) { return AsArray(self.tokens); })
      .def_property_readonly("token_logprobs",
                             [](const Samples& self) { return AsArray(self.token_logprobs); })
      .def_property_readonly("top_tokens",
                             [](const Samples& self) {
                               return AsArray(self.top_tokens, self.tokens.size(), self.num_top);
                             })
      .def_property_readonly("top_logprobs", [](const Samples& self) {
        return AsArray(self.top_logprobs, self.tokens.size(), self.num_top);
      });
}

void BindSampling(py::class_<PyModel>& model) {
  model
      .def(
          "sample",
          [](PyModel& self, const Array<float>& temperature, const Array<std::int32_t>& top_k,
             const Array<float>& top_p, const Array<float>& min_p, const Array<std::uint64_t>& seed,
             const Array<std::int32_t>& choice, const Array<std::int32_t>& position,
             const Array<float>& repetition_penalty, const Array<std::int32_t>& seen_starts,
             const Array<std::int32_t>& seen_tokens, const Array<float>& presence_penalty,
             const Array<float>& frequency_penalty, const Array<std::int32_t>& count_starts,
             const Array<std::int32_t>& count_tokens, const Array<std::int32_t>& counts,
             const Array<std::int32_t>& bias_starts, const Array<std::int32_t>& bias_tokens,
             const Array<float>& biases, const Array<std::int32_t>& mask_rows,
             const Array<std::uint32_t>& masks, const Array<std::int32_t>& targets,
             const Array<std::int32_t>& num_logprobs) {
            Model& core = self.get();
            const std::size_t words = MaskWords(core.config().vocab_size);
            Require(masks.ndim() == 2 &&
                        (masks.shape(0) == 0 || masks.shape(1) == static_cast<py::ssize_t>(words)),
                    "masks must be [n, " + std::to_string(words) + "]");
            const SamplingBatch batch{
                .temperature = AsSpan(temperature),
                .top_k = AsSpan(top_k),
                .top_p = AsSpan(top_p),
                .min_p = AsSpan(min_p),
                .seed = AsSpan(seed),
                .choice = AsSpan(choice),
                .position = AsSpan(position),
                .repetition_penalty = AsSpan(repetition_penalty),
                .seen_starts = AsSpan(seen_starts),
                .seen_tokens = AsSpan(seen_tokens),
                .presence_penalty = AsSpan(presence_penalty),
                .frequency_penalty = AsSpan(frequency_penalty),
                .count_starts = AsSpan(count_starts),
                .count_tokens = AsSpan(count_tokens),
                .counts = AsSpan(counts),
                .bias_starts = AsSpan(bias_starts),
                .bias_tokens = AsSpan(bias_tokens),
                .biases = AsSpan(biases),
                .mask_rows = AsSpan(mask_rows),
                .masks = AsSpan(masks),
                .targets = AsSpan(targets),
                .num_logprobs = AsSpan(num_logprobs),
            };
            const py::gil_scoped_release release;
            return core.Sample(batch);
          },
          py::kw_only(), py::arg("temperature").noconvert(), py::arg("top_k").noconvert(),
          py::arg("top_p").noconvert(), py::arg("min_p").noconvert(), py::arg("seed").noconvert(),
          py::arg("choice").noconvert(), py::arg("position").noconvert(),
          py::arg("repetition_penalty").noconvert(), py::arg("seen_starts").noconvert(),
          py::arg("seen_tokens").noconvert(), py::arg("presence_penalty").noconvert(),
          py::arg("frequency_penalty").noconvert(), py::arg("count_starts").noconvert(),
          py::arg("count_tokens").noconvert(), py::arg("counts").noconvert(),
          py::arg("bias_starts").noconvert(), py::arg("bias_tokens").noconvert(),
          py::arg("biases").noconvert(), py::arg("mask_rows").noconvert(),
          py::arg("masks").noconvert(), py::arg("targets").noconvert(),
          py::arg("num_logprobs").noconvert())
      .def("head_stats",
           [](const PyModel& self) {
             const HeadStats stats = self.get().head_stats();
             return py::dict(py::arg("screened") = stats.screened,
                             py::arg("finished") = stats.finished, py::arg("full") = stats.full,
                             py::arg("undecided") = stats.undecided);
           })
      .def("logits", &Logits)
      .def("hidden", &Hidden, py::arg("tokens").noconvert());
}

}  // namespace tercet
