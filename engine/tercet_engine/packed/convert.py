"""Any model that can be read, turned into a folder that is served without packing.

All is written beside the folder that is to be, which gets its name at the end: what bears the name
is whole.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tercet_engine.errors import CheckpointError
from tercet_engine.gguf import GgufTokenizer
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.grid_search import find_grid
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.opened_model import OpenedModel, open_model
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.packed.format import ARCHITECTURE, FORMAT, SECTION, is_packed
from tercet_engine.packed.swap import put_in_place
from tercet_engine.packed.weights import WrittenWeights, weight_file_bytes, write_weights
from tercet_engine.progress import ProgressListener
from tercet_engine.resources import usable_cpus
from tercet_engine.weight_source import WeightSource

_TOKENIZER: Final = "tokenizer.json"
_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_LEFT_SECONDS: Final = 60
"""Younger folders may be somebody's who is about to lock them."""
_RESERVE_BYTES: Final = 64 << 20
"""Left free on the disk: for a tokenizer, and for others."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was made.

    Attributes:
        folder: where it is.
        source_bytes: of the source's tensors.
        num_bytes: of the folder's files.
        num_outliers: weights on no grid.
    """

    folder: Path
    source_bytes: int
    num_bytes: int
    num_outliers: int


def convert_model(
    path: Path,
    out: Path,
    *,
    name: str,
    progress: ProgressListener,
    replace: bool = False,
    num_threads: int = 0,
) -> Conversion:
    """Convert a model.

    Args:
        path: a folder or a GGUF file.
        out: the folder to make.
        name: what it was made from, to be told by the folder.
        progress: is told how far it has come; twice where the weights' grid is to be found first.
        replace: put it in place of a converted model that is there. Nothing else is replaced.
        num_threads: to pack with; 0: as many as this process may use.

    Raises:
        LoadError: the model cannot be read, or is converted already.
        OSError: `out` is there, or the disk is full; nothing is left behind.
    """
    opened = open_model(path)
    if isinstance(opened.checkpoint, PackedCheckpoint):
        message = f"{path} is a converted model already; convert what it was made from"
        raise CheckpointError(message)
    source: WeightSource = opened.checkpoint
    check_free(out, replace=replace)
    if source.needs_grid:
        source = source.with_shape(find_grid(source, progress))
    with new_folder(out, weight_file_bytes(source), replace=replace) as folder:
        written = write_weights(source, folder, num_threads or usable_cpus(), progress)
        write_config(folder, source, written, name=name, overrides=opened.overrides)
        _write_text_files(folder, path, opened)
    file = PackedCheckpoint(out).file
    return Conversion(
        folder=out,
        source_bytes=source.num_bytes,
        num_bytes=sum(one.stat().st_size for one in out.iterdir()),
        num_outliers=sum(
            info.shape[0]
            for tensor, info in file.tensors.items()
            if tensor.endswith(".outlier_values")
        ),
    )


def check_free(out: Path, *, replace: bool) -> None:
    """Check that a folder may be made, before anything is read."""
    if not out.exists() and not out.is_symlink():
        return
    if not replace:
        raise FileExistsError(errno.EEXIST, "is there already", str(out))
    if not out.is_dir() or out.is_symlink() or not is_packed(out):
        raise FileExistsError(errno.EEXIST, "is no converted model and is not replaced", str(out))


@contextlib.contextmanager
def new_folder(out: Path, num_bytes: int, *, replace: bool = False) -> Iterator[Path]:
    """A folder beside `out` that gets its name if all goes well, and is gone if it does not.

    Args:
        out: the folder that is to be.
        num_bytes: what will be written.
        replace: put it in place of a converted model.
    """
    _make_parent(out)
    remove_leftovers(out)
    _check_space(out.parent, num_bytes)
    folder = out.with_name(f".{out.name}.{os.getpid()}.new")
    folder.mkdir()
    try:
        with _held(folder):
            yield folder
            check_free(out, replace=replace)
            put_in_place(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    remove_leftovers(out)


def remove_leftovers(out: Path) -> None:
    """Remove what conversions to `out` have left that were killed: those that nobody holds.

    An old folder is kept as long as none has its name: it was about to be replaced, and is not.
    """
    endings = "new|old" if out.exists() else "new"
    kept = re.compile(rf"\.{re.escape(out.name)}\.\d+\.(?:{endings})")
    newest = time.time() - _LEFT_SECONDS
    for folder in out.parent.iterdir():
        if kept.fullmatch(folder.name):
            with contextlib.suppress(OSError), _held(folder):  # it is held, or gone meanwhile
                if folder.stat().st_mtime < newest:
                    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which ends with the process however that ends."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)


def _make_parent(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "is a file", str(out.parent)) from error


def write_config(
    folder: Path,
    source: WeightSource,
    written: WrittenWeights,
    *,
    name: str,
    overrides: tuple[str, ...] = (),
) -> None:
    """Write `config.json`."""
    section = {
        "format": FORMAT,
        "made_from": name,
        "made_by": f"tercet {version('tercet')}",
        "shape": dataclasses.asdict(source.shape),
        "layouts": written.layouts,
        "overrides": overrides,
        "facts": written.facts,
        "checksums": written.checksums,
    }
    _write_json(folder / "config.json", {"architectures": [ARCHITECTURE], SECTION: section})


def _write_text_files(folder: Path, path: Path, opened: OpenedModel) -> None:
    """Write the tokenizer, the chat template, and how answers are drawn and end."""
    if isinstance(opened.checkpoint, GgufCheckpoint):
        source = GgufTokenizer(opened.checkpoint.file.config)
        source.write(folder)
        tokenizer = source.config()
    else:
        shutil.copyfile(path / _TOKENIZER, folder / _TOKENIZER)
        tokenizer = dict(ConfigFile.read(path / _TOKENIZER_CONFIG, optional=True).values)
    tokenizer.pop("chat_template", None)
    if opened.chat_template is not None:
        tokenizer["chat_template"] = opened.chat_template.source
    _write_json(folder / _TOKENIZER_CONFIG, tokenizer)
    given = dataclasses.asdict(opened.generation_defaults)
    generation = {key: value for key, value in given.items() if value is not None}
    if opened.stop_token_ids:
        generation["eos_token_id"] = sorted(opened.stop_token_ids)
    _write_json(folder / "generation_config.json", generation)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(f"{json.dumps(values, indent=1)}\n", "utf-8")


def _check_space(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes + _RESERVE_BYTES > free:
        fault = f"takes {num_bytes + _RESERVE_BYTES:,} bytes, of which {free:,} are free here"
        raise OSError(errno.ENOSPC, fault, str(folder))
