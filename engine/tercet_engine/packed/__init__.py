"""Converted models: folders whose weights lie as they are computed with, so nothing is packed.

`format` is what `config.json` says, `tensors` what the weights file holds, `writer` writes such a
file, `checkpoint` opens a folder, `fill` hands its tensors to C++, and `convert` (with `weights`
and `swap`) makes a folder of any model that can be read.
"""
