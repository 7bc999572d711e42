"""Do all codes of a file's I2_S matrices mean a weight? Half a gigabyte takes half a second.

Nothing in a GGUF file tells that its data arrived unharmed. Of its ternary types I2_S is the one in
which a damaged byte can often be seen: two bits that are both set are no weight.
"""

import math
from typing import Final

import numpy as np

from tercet_engine.errors import CheckpointError
from tercet_engine.gguf import GgufFile

_BYTES_AT_ONCE: Final = 1 << 22
_LOW_BITS: Final = np.uint8(0x55)


def check_codes(file: GgufFile) -> None:
    """Look at every code, and at every scale that is no number.

    Raises:
        CheckpointError: one means no weight; the message names the tensor.
    """
    for tensor in file.tensors.values():
        if tensor.layout != "i2_s":
            continue
        num_bytes = math.prod(tensor.shape) // 4
        data = file.array(tensor.name)
        for begin in range(0, num_bytes, _BYTES_AT_ONCE):
            codes = data[begin : min(begin + _BYTES_AT_ONCE, num_bytes)]
            found = np.flatnonzero(codes & (codes >> 1) & _LOW_BITS)
            if found.size:
                message = (
                    f"{file.path}: {tensor.name} is damaged: byte {begin + int(found[0])} holds "
                    "code 3; a ternary weight has codes 0, 1 and 2. Download it again"
                )
                raise CheckpointError(message)
        scale = float(data[num_bytes : num_bytes + 4].copy().view(np.float32)[0])
        if not 0 <= scale < np.inf:
            message = f"{file.path}: the scale of {tensor.name} should be over 0; found {scale}"
            raise CheckpointError(message)
        file.forget(tensor.name)
