"""A browser, servers in processes of their own, and one visitor's view of the chat page."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
EMBEDDED = "load_from_settings"
SLOW = "lambda *_: [make_toy_engine(end_every=0, before_step=lambda: time.sleep(0.02))]"
PROGRAM = """
import json, sys, time
from tercet_server.runner import load_from_settings, serve
from tercet_server.settings import load_settings
from tests.oracle.toy_engine import make_toy_engine

settings = load_settings(port=0, drain_seconds=0, log_level="error", **json.loads(sys.argv[1]))
sys.exit(serve(settings, load={load}, on_ready=lambda url, models: print(url, flush=True)))
"""


@contextlib.contextmanager
def running_server(load: str, **settings: Any) -> Iterator[str]:
    """A server of its own process; gives its URL."""
    command = [sys.executable, "-c", PROGRAM.format(load=load), json.dumps(settings)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def num_running(url: str) -> int:
    """Completions that the server computes or holds waiting."""
    with urlopen(f"{url}/metrics") as response:
        lines = response.read().decode().splitlines()
    names = ("tercet_completions_running{", "tercet_completions_waiting{")
    return sum(int(float(line.split()[1])) for line in lines if line.startswith(names))


@dataclass
class Visitor:
    """Somebody at the page. What the browser complains of and asks for elsewhere is noted."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._on_request)

    def open(self) -> None:
        self.page.goto(self.url)
        self.page.locator("#model option[value]").first.wait_for(state="attached")  # connected

    def ask(self, text: str) -> str:
        """Type, send and wait for the whole answer."""
        self.prompt.fill(text)
        self.page.keyboard.press("Enter")
        return self.answer()

    def answer(self) -> str:
        self.page.wait_for_selector("li.assistant:last-child:not(.busy) .foot button")
        return self.texts("li.assistant .content")[-1]

    def click(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).last.click()

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    @property
    def prompt(self) -> Any:
        return self.page.get_by_label("Message", exact=True)

    def _on_console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith(self.url):
            self.strangers.append(request.url)


Visit = Callable[..., Visitor]
