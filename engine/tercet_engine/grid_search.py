"""Plain numbers have to prove that they are ternary, and on which grid.

All weights are read once, before any is packed.
"""

import logging
from dataclasses import replace

from tercet_engine.core_words import core_source
from tercet_engine.errors import CheckpointError
from tercet_engine.grid import TensorGrid, common_group
from tercet_engine.model_shape import ModelShape
from tercet_engine.progress import ProgressListener
from tercet_engine.resources import usable_cpus
from tercet_engine.tensor_source import TensorSource
from tercet_engine.weight_source import WeightSource

_logger = logging.getLogger(__name__)


def find_grid(source: WeightSource, progress: ProgressListener) -> ModelShape:
    """Find the grid that a model of plain numbers is on; all its weights are read.

    Raises:
        UnsupportedModel: it is not ternary.
        CheckpointError: a number is not finite.
    """
    shape = source.shape
    num_threads = usable_cpus()
    progress.start(source.num_bytes)

    def grid_of(name: str, matrix: TensorSource) -> TensorGrid:
        try:
            off_grid = core_source(matrix).count_off_grid(num_threads)
        except ValueError as error:
            message = f"{name}: {error}"
            raise CheckpointError(message) from error
        source.forget(name)
        progress.advance(source.num_bytes_of(name), f"is {name} ternary?")
        return TensorGrid(name, matrix.rows * matrix.cols, off_grid)

    grids = []
    for layer in range(shape.num_layers):
        for name in shape.linear_shapes:
            tensor = source.linear_name(layer, name)
            grids.append(grid_of(tensor, source.linear(layer, name)))
            common_group(grids[-1:])  # one that is not ternary ends it here
    group = common_group(grids)
    head = grid_of(source.head_name, source.table(source.head_name))
    progress.finish()
    num_off = sum(grid.off_grid[group] for grid in grids)
    if num_off:
        _logger.warning(
            "%d of %d weights are on no grid; they are kept as they are, beside the ternary ones",
            num_off,
            shape.num_ternary_weights,
        )
    return replace(shape, weight_group=group, has_ternary_head=head.fits(group))
