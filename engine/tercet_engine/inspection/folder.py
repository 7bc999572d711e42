"""A folder in the Hugging Face layout, step by step as serving it would go."""

from tercet_engine.checkpoint import Checkpoint
from tercet_engine.errors import CheckpointError, LoadError, UnsupportedModel
from tercet_engine.families.family import WeightForm
from tercet_engine.hub.cache import is_whole
from tercet_engine.hub.choice import INDEX, WEIGHTS
from tercet_engine.inspection.report import ModelReport, TokenizerFacts, Verdict, WeightFile
from tercet_engine.inspection.scan import find_numbers, ternary_group
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_files import ModelFiles
from tercet_engine.tokenizer import Tokenizer

_FORMS = {
    WeightForm.PACKED: "packed, 2 bits, scale to multiply by",
    WeightForm.PACKED_INVERSE: "packed, 2 bits, scale to divide by",
    WeightForm.MASTERS: "masters, made ternary when they are loaded",
    WeightForm.DENSE: "numbers that are ternary already",
}


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
        checkpoint = Checkpoint(folder)
        _describe(report, checkpoint)
        _read_text(report, checkpoint)
    except LoadError as error:
        if isinstance(error, UnsupportedModel):
            _explain_ordinary(report)
        if not (folder / "tokenizer.json").is_file() and report.shape is not None:
            report.refuse(Verdict.INCOMPLETE, str(error))
        report.refuse_for(error)


def _read_config(report: ModelReport) -> None:
    names = ConfigFile.read(report.path / "config.json").values.get("architectures")
    if isinstance(names, list) and names:
        report.architecture = str(names[0])


def _describe(report: ModelReport, checkpoint: Checkpoint) -> None:
    shape = report.shape = checkpoint.shape
    report.weights = _FORMS[checkpoint.form]
    report.grid = "one scale a matrix"
    if checkpoint.form is WeightForm.DENSE:
        found = find_numbers(report.path)
        group = None if found is None else ternary_group(found[1])
        _explain_ordinary(report)
        if group is not None:
            report.grid = f"one scale for {group} columns" if group else "one scale a row"
    if shape.activation_group:
        report.activations = f"int8, one scale for {shape.activation_group} of a token"
    else:
        report.activations = "int8, one scale a token"


def _read_text(report: ModelReport, checkpoint: Checkpoint) -> None:
    """The tokenizer and what stands beside it, refused as loading would."""
    tokenizer = Tokenizer.from_folder(report.path)
    describe_tokenizer(report, tokenizer)
    vocab_size = checkpoint.shape.vocab_size
    if tokenizer.vocab_size > vocab_size:
        message = (
            f"{report.path}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{vocab_size}"
        )
        raise CheckpointError(message)
    files = ModelFiles(report.path, checkpoint.config)
    own = files.chat_template(tokenizer, None)
    used = files.chat_template(tokenizer, checkpoint.family.chat_template)
    report.chat_template = "its own" if own else "its family's" if used else "none: a base model"
    report.stop_tokens = tuple(
        (tokenizer.token_text(token), token)
        for token in sorted(files.stop_token_ids(tokenizer, vocab_size))
    )


def describe_tokenizer(report: ModelReport, tokenizer: Tokenizer) -> None:
    """Fill in what a tokenizer is."""
    report.tokenizer = TokenizerFacts(
        kind=tokenizer.kind,
        num_tokens=tokenizer.vocab_size,
        begins_with=tuple(map(tokenizer.token_text, tokenizer.bos_tokens)),
    )


def _explain_ordinary(report: ModelReport) -> None:
    """Say so where weights are plain numbers of which nothing says that they are masters."""
    config = ConfigFile.read(report.path / "config.json")
    if config.values.get("quantization_config") is not None:
        return
    found = find_numbers(report.path)
    if found is not None and ternary_group(found[1]) is None:
        kind, _ = found
        report.refuse(
            Verdict.NOT_TERNARY,
            f"{report.path} holds ordinary {report.architecture or ''} weights ({kind}), which are "
            "not ternary; only models whose weights are -1, 0 and +1 times a scale are served",
        )
