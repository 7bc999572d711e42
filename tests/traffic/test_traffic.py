"""A few hundred requests of the random traffic; `make test-traffic` sends as many as one likes."""

from collections import Counter

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import Service, embedded_engine, serving  # noqa: F401 -- a fixture
from tests.traffic.run import nothing_is_left, play


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_sent_the_server_is_not_at_fault(
    embedded_engine: AsyncEngine,  # noqa: F811 -- pytest's
    seed: int,
) -> None:
    seen: Counter[str] = Counter()
    async with serving(embedded_engine, max_output_tokens=8) as service:
        assert await play(service, seed, 120, seen) == []
        assert await nothing_is_left(embedded_engine)
        assert "request_failed" not in service.log.getvalue()
    statuses = {name.rpartition(" ")[2] for name in seen}
    assert {"200", "400", "404", "405"} <= statuses
    assert len({name.rpartition(" ")[0] for name in seen}) > 15
