"""A pytest plugin for slow machines: no test has a time limit, and one may run a part of them.

`TERCET_SHARD=2/4` runs the second quarter. Parts are of neighbours, which share their models.
"""

import os

import pytest


def part_of(count: int, shard: str) -> range:
    """The places of one part of `count` things; "2/4" is the second of four."""
    number, parts = map(int, shard.split("/"))
    assert 1 <= number <= parts, f"there is no part {shard}"
    return range(count * (number - 1) // parts, count * number // parts)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    part = part_of(len(items), os.environ.get("TERCET_SHARD", "1/1"))
    items[:] = [items[place] for place in part]
    for item in items:
        item.add_marker(pytest.mark.timeout(0), append=False)
