"""A GGUF file: what its header says."""

from collections import Counter
from typing import Final

from tercet_engine.errors import LoadError
from tercet_engine.gguf import GgufFile
from tercet_engine.inspection.codes import check_codes
from tercet_engine.inspection.opened import describe_opened, ordinary
from tercet_engine.inspection.report import ModelReport, Verdict, WeightFile

_MAGIC: Final = b"GGUF"
_TERNARY: Final = frozenset({"i2_s", "tq1_0", "tq2_0", "q2_0_g64", "q2_0_g128", "pq2_0", "ptq1_0"})
_NUMBERS: Final = frozenset({"f32", "f16", "bf16"})


def inspect_file(report: ModelReport, *, reads_codes: bool) -> None:
    """Fill in what a single file says; with `reads_codes` its I2_S weights are looked at, too."""
    path = report.path
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        report.refuse(
            Verdict.UNSUPPORTED,
            f"{path} is no model: neither a GGUF file nor a folder in the Hugging Face layout",
        )
        return
    report.format = "gguf"
    report.files = (WeightFile(path.name, path.stat().st_size),)
    try:
        opened = GgufFile(path)
        _describe(report, opened)
        describe_opened(report)
        if reads_codes:
            check_codes(opened)
    except LoadError as error:
        report.refuse_for(error)


def _describe(report: ModelReport, file: GgufFile) -> None:
    report.architecture = file.config.architecture
    counts = Counter(tensor.layout for tensor in file.tensors.values())
    report.weights = ", ".join(f"{layout} ({count})" for layout, count in counts.most_common())
    if set(counts) & _TERNARY or set(counts) <= _NUMBERS:
        return  # numbers may be ternary, which opening the file will tell
    report.refuse(Verdict.NOT_TERNARY, ordinary(report, ", ".join(counts)))
