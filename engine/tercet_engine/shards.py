"""Which file of a folder holds which tensor: one `model.safetensors`, or shards with an index."""

from pathlib import Path
from typing import Final

from tercet_engine.errors import CheckpointError
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.safetensors_file import SafetensorsFile

_MAX_SHARDS: Final = 1024


def find_tensors(folder: Path) -> dict[str, SafetensorsFile]:
    """Open the files of a folder; return the one that holds each tensor.

    Raises:
        CheckpointError: there are none, or an index and its files contradict each other.
    """
    if (folder / "model.safetensors").is_file():
        file = SafetensorsFile(folder / "model.safetensors")
        return dict.fromkeys(file.tensors, file)
    index_path = folder / "model.safetensors.index.json"
    if not index_path.is_file():
        message = f"{folder} has neither model.safetensors nor model.safetensors.index.json"
        raise CheckpointError(message)
    index = ConfigFile.read(index_path).section("weight_map")
    names = sorted({index.text(tensor) for tensor in index.values})
    if not 0 < len(names) <= _MAX_SHARDS or any(Path(name).name != name for name in names):
        message = f"{index_path} must name 1 to {_MAX_SHARDS} files of its own folder"
        raise CheckpointError(message)
    files = {name: SafetensorsFile(folder / name) for name in names}
    file_of = {tensor: files[index.text(tensor)] for tensor in index.values}
    for tensor, file in file_of.items():
        if tensor not in file.tensors:
            message = f"{index_path} places {tensor} in {file.path}, which does not hold it"
            raise CheckpointError(message)
    num_held = sum(len(file.tensors) for file in files.values())
    if num_held != len(file_of):
        message = f"the files of {index_path} hold {num_held} tensors; it names {len(file_of)}"
        raise CheckpointError(message)
    return file_of
