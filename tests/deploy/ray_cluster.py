"""A Ray cluster of this one host with two replicas of Tercet, until stdin ends.

    python -m tests.deploy.ray_cluster PORT

In a process of its own, for what Ray starts and warns of is not the tests' to bear.
"""

import sys

import ray
from ray import serve

from tercet_server.ray_serve import Arguments, build


def main() -> None:
    ray.init(
        num_cpus=4,  # promised, not measured: the proxy and two replicas of one thread each
        include_dashboard=False,
        object_store_memory=100 * 2**20,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(build(Arguments(replicas=2)), name="tercet")
    print("ready", flush=True)  # noqa: T201 -- which the test waits for
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
