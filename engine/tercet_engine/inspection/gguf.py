"""A GGUF file: what its header says."""

from collections import Counter
from typing import Final

from tercet_engine.errors import LoadError
from tercet_engine.gguf import GgufFile, GgufTokenizer
from tercet_engine.inspection.folder import describe_tokenizer
from tercet_engine.inspection.report import ModelReport, Verdict, WeightFile

_MAGIC: Final = b"GGUF"
_GRIDS: Final = {
    "i2_s": "one scale a matrix",
    "tq1_0": "one scale for 256 columns",
    "tq2_0": "one scale for 256 columns",
    "q2_0_g64": "one scale for 64 columns",
    "q2_0_g128": "one scale for 128 columns",
    "pq2_0": "one scale for 128 columns",
    "ptq1_0": "one scale for 128 columns",
}
"""Of the layouts that hold ternary weights."""


def inspect_file(report: ModelReport) -> None:
    """Fill in what a single file says."""
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
        file_ = GgufFile(path)
        _describe(report, file_)
    except LoadError as error:
        report.refuse_for(error)


def _describe(report: ModelReport, file: GgufFile) -> None:
    report.architecture = file.config.architecture
    counts = Counter(tensor.layout for tensor in file.tensors.values())
    report.weights = ", ".join(f"{layout} ({count})" for layout, count in counts.most_common())
    ternary = [layout for layout, _ in counts.most_common() if layout in _GRIDS]
    if ternary:
        report.grid = _GRIDS[ternary[0]]
    else:
        report.refuse(
            Verdict.NOT_TERNARY,
            f"{report.path} holds ordinary {report.architecture} weights ({', '.join(counts)}), "
            "which are not ternary; only models whose weights are -1, 0 and +1 times a scale are "
            "served",
        )
    described = GgufTokenizer(file.config)
    tokenizer = described.tokenizer()
    describe_tokenizer(report, tokenizer)
    report.chat_template = "its own" if described.chat_templates() else "none"
    report.stop_tokens = tuple(
        (tokenizer.token_text(token), token) for token in sorted(described.end_token_ids)
    )
    report.refuse(
        Verdict.UNSUPPORTED,
        f"{report.path} is a file; give the folder of a checkpoint in the Hugging Face layout",
    )
