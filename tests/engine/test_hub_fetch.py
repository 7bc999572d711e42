"""Fetching from a Hub that behaves well, badly, or not at all."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from tercet_engine import FetchFailed, ModelNotFound, PlannedFile, UnsupportedModel
from tercet_engine.hub import Form, Wanted, find_cached, find_model, parse_hub_name
from tercet_engine.hub.choice import ANYTHING
from tercet_engine.hub.fetch import fetch_model
from tercet_engine.hub.layout import RepoCache
from tests.oracle.fake_hub import COMMIT, FakeHub, serving

WEIGHTS = bytes(range(256)) * 2000  # 512,000 bytes
CONFIG = b'{"architectures": ["BitNetForCausalLM"]}'
MODEL = {
    "config.json": CONFIG,
    "tokenizer.json": b'{"model": {}}',
    "model.safetensors": WEIGHTS,
    "modeling_bitnet.py": b"print('never fetched')",
    "pytorch_model.bin": b"never fetched",
}
GGUFS = {"a-F16.gguf": b"f" * 3000, "a-Q2_0.gguf": b"q" * 1000, "a-Q2_0_g64.gguf": b"g" * 2000}

Hubs = Callable[..., FakeHub]


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.files: list[PlannedFile] = []
        self.done: dict[str, int] = {}
        self.notes: list[str] = []
        self.is_finished = False

    def start(self, what: str, files: Sequence[PlannedFile]) -> None:
        self.files = list(files)
        self.done = {file.name: file.num_done for file in files}

    def advance(self, name: str, num_bytes: int) -> None:
        self.done[name] = self.done.get(name, 0) + num_bytes

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self) -> None:
        self.is_finished = True


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RepoCache:
    """An empty cache, and a Hub that is asked without a token and without waiting."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr("tercet_engine.hub.blobs._SECONDS_UNIT", 0.0)
    return RepoCache.of("org/name")


@pytest.fixture
def hubs(cache: RepoCache, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeHub]]:
    """Starts Hubs; the arguments are `FakeHub`'s."""
    with contextlib.ExitStack() as stack:

        def start(files: dict[str, bytes] | None = None, **how: object) -> FakeHub:
            hub = stack.enter_context(serving(FakeHub(dict(files or MODEL), **how)))
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
            template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
            return hub

        yield start


def fetch(
    text: str, listener: Listener, wanted: Wanted = ANYTHING, token: str | None = None
) -> Path:
    name = parse_hub_name(text)
    assert name is not None
    return fetch_model(name, wanted, listener, token)


def test_only_what_is_needed_is_fetched(hubs: Hubs, cache: RepoCache, listener: Listener) -> None:
    hub = hubs()
    path = fetch("org/name", listener)

    assert path == cache.snapshot(COMMIT)
    assert sorted(p.name for p in path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert (path / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.fetched == ["config.json", "tokenizer.json", "model.safetensors"]
    assert listener.is_finished
    assert listener.done == {name: len(MODEL[name]) for name in hub.fetched}


def test_what_is_here_is_not_fetched_again(hubs: Hubs, listener: Listener) -> None:
    hub = hubs()
    fetch("org/name", listener)
    hub.asked.clear()
    again = Listener()
    fetch("org/name", again)

    assert hub.fetched == []
    assert again.files == []


def test_other_tools_find_it_in_the_cache(hubs: Hubs, listener: Listener) -> None:
    hubs()
    path = fetch("org/name", listener)
    found = huggingface_hub.hf_hub_download("org/name", "model.safetensors", local_files_only=True)
    repo = next(iter(huggingface_hub.scan_cache_dir().repos))

    assert Path(found) == path / "model.safetensors"
    assert (repo.repo_id, {ref for rev in repo.revisions for ref in rev.refs}) == (
        "org/name",
        {"main"},
    )


def test_what_another_tool_fetched_is_taken(
    hubs: Hubs, cache: RepoCache, listener: Listener
) -> None:
    hub = hubs()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        huggingface_hub.hf_hub_download("org/name", name)
    hub.asked.clear()
    path = fetch("org/name", listener)

    assert hub.fetched == []
    assert path == cache.snapshot(COMMIT)


def test_a_broken_connection_is_continued_from_its_last_byte(
    hubs: Hubs, listener: Listener
) -> None:
    hub = hubs(break_after=[100_000, 200_000])
    path = fetch("org/name", listener)

    assert (path / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [asked for _, url, asked in hub.asked if url == "/cdn/model.safetensors"]
    assert ranges == ["", "bytes=100000-", "bytes=300000-"]
    assert listener.done["model.safetensors"] == len(WEIGHTS)
    assert len(listener.notes) == 2


def test_what_an_earlier_attempt_left_is_continued(
    hubs: Hubs, cache: RepoCache, listener: Listener
) -> None:
    hub = hubs(break_after=[100_000] + [0] * 5 + [0])
    with pytest.raises(FetchFailed, match="the same command goes on from there"):
        fetch("org/name", listener)
    assert find_cached(parse_hub_name("org/name")) is None
    assert not (cache.snapshot(COMMIT) / "model.safetensors").exists()
    hub.break_after.clear()
    hub.asked.clear()
    again = Listener()
    path = fetch("org/name", again)

    assert (path / "model.safetensors").read_bytes() == WEIGHTS
    assert [file.num_done for file in again.files] == [100_000]
    assert [asked for _, _, asked in hub.asked if asked] == ["bytes=100000-"] * 2  # and redirected


def test_a_hub_that_knows_no_ranges_sends_it_all_again(hubs: Hubs, listener: Listener) -> None:
    hubs(break_after=[100_000], ignores_ranges=True)
    path = fetch("org/name", listener)

    assert (path / "model.safetensors").read_bytes() == WEIGHTS
    assert listener.done["model.safetensors"] == len(WEIGHTS)


@pytest.mark.parametrize(
    ("wrong", "kind"), [("model.safetensors", "SHA-256"), ("tokenizer.json", "SHA-1")]
)
def test_wrong_bytes_are_removed_and_told(
    hubs: Hubs, cache: RepoCache, listener: Listener, wrong: str, kind: str
) -> None:
    hub = hubs(wrong={wrong})
    with pytest.raises(FetchFailed, match=f"{wrong} arrived damaged and was removed: .*{kind}"):
        fetch("org/name", listener)

    assert not (cache.snapshot(COMMIT) / wrong).exists()
    assert not list(cache.folder.rglob("*.incomplete"))
    hub.wrong.clear()
    assert (fetch("org/name", Listener()) / wrong).read_bytes() == MODEL[wrong]


def test_a_partial_that_was_tampered_with_is_not_believed(
    hubs: Hubs, cache: RepoCache, listener: Listener
) -> None:
    hub = hubs()
    blob_id = str(next(s for s in hub.siblings() if "lfs" in s)["lfs"]["sha256"])
    cache.partial(blob_id).parent.mkdir(parents=True)
    cache.partial(blob_id).write_bytes(b"x" * 300_000)
    with pytest.raises(FetchFailed, match="arrived damaged"):
        fetch("org/name", listener)

    assert (fetch("org/name", Listener()) / "model.safetensors").read_bytes() == WEIGHTS


def test_shards_are_those_that_the_index_names(hubs: Hubs, listener: Listener) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    files = {
        "config.json": CONFIG,
        "model.safetensors.index.json": json.dumps(index).encode(),
        "model-1.safetensors": b"1" * 1000,
        "model-2.safetensors": b"2" * 1000,
        "model-3.safetensors": b"3" * 1000,
    }
    hub = hubs(files)
    path = fetch("org/name", listener)

    assert "model-3.safetensors" not in hub.fetched
    assert (path / "model-2.safetensors").read_bytes() == b"2" * 1000
    assert find_cached(parse_hub_name("org/name")) == path
    (path / "model-2.safetensors").unlink()
    assert find_cached(parse_hub_name("org/name")) is None


def test_an_index_that_names_what_is_not_there_is_refused(hubs: Hubs, listener: Listener) -> None:
    index = {"weight_map": {"a": "../../model-1.safetensors"}}
    hubs({"config.json": CONFIG, "model.safetensors.index.json": json.dumps(index).encode()})
    with pytest.raises(Exception, match="names files that the repository does not hold"):
        fetch("org/name", listener)


@pytest.mark.parametrize(
    ("name", "wanted", "chosen"),
    [
        ("org/name:Q2_0", Wanted(), "a-Q2_0.gguf"),
        ("org/name:q2_0_g64", Wanted(), "a-Q2_0_g64.gguf"),
        ("org/name/a-F16.gguf", Wanted(), "a-F16.gguf"),
        ("hf.co/org/name:F16", Wanted(), "a-F16.gguf"),
        ("org/name", Wanted(file="*f16*"), "a-F16.gguf"),
    ],
)
def test_one_gguf_file_of_several_is_chosen(
    hubs: Hubs, listener: Listener, name: str, wanted: Wanted, chosen: str
) -> None:
    hub = hubs(GGUFS)
    path = fetch(name, listener, wanted)

    assert path.name == chosen
    assert path.read_bytes() == GGUFS[chosen]
    assert hub.fetched == [chosen]
    assert find_cached(parse_hub_name(name), wanted) == path


@pytest.mark.parametrize("name", ["org/name", "org/name:Q8_0", "org/name/b.gguf"])
def test_a_gguf_file_that_is_not_told_is_asked_for(
    hubs: Hubs, listener: Listener, name: str
) -> None:
    hubs(GGUFS)
    with pytest.raises(ModelNotFound, match=r"choose one of a-.*a-Q2_0_g64\.gguf.*--file"):
        fetch(name, listener)


def test_the_only_ternary_file_is_meant(hubs: Hubs, listener: Listener) -> None:
    hubs({"a-F16.gguf": b"f", "a-Q2_0.gguf": b"q", "a-Q8_0.gguf": b"8"})

    assert fetch("org/name", listener).name == "a-Q2_0.gguf"


def test_a_part_of_a_gguf_model_is_refused(hubs: Hubs, listener: Listener) -> None:
    hubs({"a-00001-of-00002.gguf": b"f"})
    with pytest.raises(UnsupportedModel, match="one of several files"):
        fetch("org/name", listener)


def test_safetensors_come_before_gguf_unless_asked(hubs: Hubs, listener: Listener) -> None:
    hubs(MODEL | {"x.gguf": b"x"})

    assert fetch("org/name", listener).is_dir()
    assert fetch("org/name", listener, Wanted(Form.GGUF)).name == "x.gguf"


def test_a_repository_without_a_model_says_what_it_holds(hubs: Hubs, listener: Listener) -> None:
    hubs({"config.json": CONFIG, "pytorch_model.bin": b"x"})
    with pytest.raises(UnsupportedModel, match=r"it holds config\.json, pytorch_model\.bin"):
        fetch("org/name", listener)


@pytest.mark.parametrize(
    ("how", "asked", "words"),
    [
        ({"has_repo": False}, {}, "not on the Hub; check the spelling.*HF_TOKEN"),
        ({"gated": True}, {}, "gated: accept its terms at http.*/org/name.*HF_TOKEN"),
        ({"gated": True}, {"token": "hf_wrong"}, "gated: the token's account"),
        ({}, {"text": "org/name@v9"}, "has no revision v9"),
    ],
)
def test_what_may_not_be_had_is_told(
    hubs: Hubs, listener: Listener, how: dict[str, Any], asked: dict[str, str], words: str
) -> None:
    hubs(**how)
    with pytest.raises(ModelNotFound, match=words):
        fetch(**{"text": "org/name", "listener": listener, **asked})


def test_a_token_opens_what_is_gated(hubs: Hubs, listener: Listener) -> None:
    hubs(gated=True)

    assert (fetch("org/name", listener, token="hf_right") / "config.json").is_file()


def test_a_token_is_not_shown_to_where_the_hub_sends_us(hubs: Hubs, listener: Listener) -> None:
    elsewhere = hubs()
    hub = hubs(gated=True, cdn=elsewhere.url)
    fetch("org/name", listener, token="hf_right")

    assert set(hub.keys) == {"Bearer hf_right"}
    assert elsewhere.keys == [None]


def test_files_of_one_content_are_fetched_once(hubs: Hubs, listener: Listener) -> None:
    hub = hubs(MODEL | {"generation_config.json": CONFIG})
    path = fetch("org/name", listener)

    assert (path / "generation_config.json").read_bytes() == CONFIG
    assert "generation_config.json" not in hub.fetched
    assert [file.name for file in listener.files] == hub.fetched
    assert listener.done == {file.name: file.num_bytes for file in listener.files}


def test_a_hub_in_trouble_is_told(hubs: Hubs, listener: Listener) -> None:
    hubs(status=503)
    with pytest.raises(FetchFailed, match="the Hub answers 503"):
        fetch("org/name", listener)


def test_a_disk_that_is_too_full_is_noticed_before_anything_is_fetched(
    hubs: Hubs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hubs()
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(FetchFailed, match=r"needs 512,053 more bytes.*100,000 are free.*HF_HOME"):
        fetch("org/name", listener)

    assert hub.fetched == []


@pytest.mark.parametrize("is_forbidden", [True, False])
def test_without_a_network_what_is_here_serves(
    hubs: Hubs,
    cache: RepoCache,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    is_forbidden: bool,
) -> None:
    hubs()
    path = fetch("org/name", listener)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", is_forbidden)
    again = Listener()

    assert fetch("org/name", again) == path
    assert "is here" in again.notes[0]
    assert find_model("org/name").path == path
    assert find_model(f"org/name@{COMMIT}").path == path
    assert find_model("org/name", offline=True).path == path


@pytest.mark.parametrize(
    ("is_forbidden", "words"),
    [(True, "HF_HUB_OFFLINE forbids"), (False, "cannot be reached.*check the network")],
)
def test_without_a_network_what_is_missing_says_what_to_do(
    cache: RepoCache,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    is_forbidden: bool,
    words: str,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", is_forbidden)
    with pytest.raises(ModelNotFound, match=f"{words}.*tercet pull org/name"):
        fetch("org/name", listener)


def test_offline_what_was_never_fetched_is_named(cache: RepoCache) -> None:
    with pytest.raises(ModelNotFound, match="not on this disk; fetch it with `tercet pull"):
        find_model("org/name", offline=True)


def test_a_new_commit_is_fetched_and_the_ref_moves_last(
    hubs: Hubs, cache: RepoCache, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hubs()
    fetch("org/name", listener)
    new = "b" * 40
    monkeypatch.setattr("tests.oracle.fake_hub.COMMIT", new)
    hub.revisions.add(new)
    hub.files["config.json"] = b'{"new": 1}'
    hub.wrong = {"config.json"}
    with pytest.raises(FetchFailed):
        fetch("org/name", Listener())
    assert cache.commit_of(None) == COMMIT  # what works stays what is served
    hub.wrong = set()
    path = fetch("org/name", Listener())

    assert path == cache.snapshot(new)
    assert hub.fetched.count("model.safetensors") == 1


def test_names_that_lead_elsewhere_are_never_written(
    hubs: Hubs, cache: RepoCache, listener: Listener
) -> None:
    hubs(MODEL | {"../../evil.gguf": b"x"})
    fetch("org/name", listener)
    with pytest.raises(ModelNotFound):
        fetch("org/name", listener, Wanted(Form.GGUF))

    assert not list(cache.root.parent.rglob("evil.gguf"))


def test_a_content_that_lost_bytes_after_it_was_whole_is_fetched_anew(
    hubs: Hubs, listener: Listener
) -> None:
    hubs()
    path = fetch("org/name", Listener()) / "model.safetensors"
    with path.open("r+b") as file:
        file.truncate(1000)

    assert (fetch("org/name", listener) / "model.safetensors").read_bytes() == WEIGHTS
    assert any("1,000 of its 512,000 bytes" in note for note in listener.notes)


@pytest.mark.parametrize("content", ["", "0123", "\x00\xff", "../../../etc/passwd", "z" * 40])
def test_a_ref_that_is_no_commit_is_as_good_as_none(
    hubs: Hubs, cache: RepoCache, content: str
) -> None:
    hubs()
    fetch("org/name", Listener())
    (cache.folder / "refs" / "main").write_text(content)

    name = parse_hub_name("org/name")
    assert name is not None
    assert find_cached(name) is None
    assert (fetch("org/name", Listener()) / "model.safetensors").read_bytes() == WEIGHTS
    assert find_cached(name) is not None
