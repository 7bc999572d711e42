"""A folder in the Hugging Face layout."""

from tercet_engine.errors import CheckpointError, LoadError, UnsupportedModel
from tercet_engine.hub.cache import is_whole
from tercet_engine.hub.choice import INDEX, WEIGHTS
from tercet_engine.inspection.opened import describe_opened, ordinary, refuse_damage
from tercet_engine.inspection.report import ModelReport, Verdict, WeightFile
from tercet_engine.inspection.scan import find_numbers, ternary_group
from tercet_engine.model_config_file import ConfigFile


def inspect_folder(report: ModelReport) -> None:
    """Fill in what a folder's files say, up to what serving it would refuse."""
    folder = report.path
    report.files = tuple(
        WeightFile(path.name, path.stat().st_size) for path in sorted(folder.glob("*.safetensors"))
    )
    report.format = "safetensors" if report.files else ""
    if not (folder / "config.json").is_file():
        gguf = sorted(path.name for path in folder.glob("*.gguf"))
        hint = f"; give one of its files, {', '.join(gguf[:8])}" if gguf else ""
        report.refuse(
            Verdict.INCOMPLETE, f"{folder} holds no checkpoint: its config.json is missing{hint}"
        )
        return
    try:
        _read_config(report)
        if not is_whole(folder) and ((folder / INDEX).exists() or not report.files):
            message = f"{folder} lacks weights: {WEIGHTS}, or a file that {INDEX} names, is missing"
            report.refuse(Verdict.INCOMPLETE, message)
        describe_opened(report)
    except CheckpointError as error:
        has_texts = (folder / "tokenizer.json").is_file()
        is_incomplete = report.shape is not None and not has_texts
        if report.shape is None:
            _explain_ordinary(report)
        refuse_damage(report, error, is_incomplete=is_incomplete)
    except LoadError as error:
        if isinstance(error, UnsupportedModel):
            _explain_ordinary(report)
        report.refuse_for(error)


def _read_config(report: ModelReport) -> None:
    names = ConfigFile.read(report.path / "config.json").values.get("architectures")
    if isinstance(names, list) and names:
        report.architecture = str(names[0])


def _explain_ordinary(report: ModelReport) -> None:
    """Say so where weights are plain numbers of which nothing says that they are masters."""
    config = ConfigFile.read(report.path / "config.json")
    if config.values.get("quantization_config") is not None:
        return
    found = find_numbers(report.path)
    if found is not None and ternary_group(found[1]) is None:
        report.refuse(Verdict.NOT_TERNARY, ordinary(report, found[0]))
