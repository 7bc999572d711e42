"""HTTPS with a certificate of our own."""

import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tercet_engine import AsyncEngine
from tercet_server.settings import InvalidSettings
from tercet_server.tls import check_tls
from tests.server.conftest import listening, settings_of

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this host, its key, and the key under a passphrase."""
    folder = tmp_path_factory.mktemp("tls")
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
    )
    openssl(
        *("ec", "-aes256", "-passout", "pass:hush"),
        *("-in", str(folder / "key.pem"), "-out", str(folder / "protected.pem")),
    )
    both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(both)
    return folder


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(("cert", "key"), [("cert.pem", "key.pem"), ("both.pem", None)])
async def test_a_stream_comes_over_https(
    toy_engine: AsyncEngine, folder: Path, cert: str, key: str | None
) -> None:
    files = {"tls_cert": folder / cert, "tls_key": key and folder / key}
    trust = ssl.create_default_context(cafile=folder / "cert.pem")
    async with (
        listening(toy_engine, **files) as live,
        httpx.AsyncClient(verify=trust, trust_env=False) as client,
    ):
        body = {"prompt": "a", "max_tokens": 3, "stream": True}
        response = await client.post(f"{live.url}/v1/completions", json=body)

    assert live.url.startswith("https://127.0.0.1:")
    assert response.status_code == 200
    assert response.text.endswith("data: [DONE]\n\n")


def test_nothing_to_check_is_right() -> None:
    check_tls(settings_of())


@pytest.mark.parametrize(
    ("cert", "key", "words"),
    [
        ("nowhere.pem", None, r"--tls-cert .*nowhere.pem cannot be read: No such file"),
        ("cert.pem", "nowhere.pem", r"--tls-key .*nowhere.pem cannot be read"),
        ("cert.pem", None, r"--tls-cert: no certificate with its key"),
        ("key.pem", "cert.pem", r"--tls-cert and --tls-key: no certificate with its key"),
        ("cert.pem", "protected.pem", r"the key is protected by a passphrase"),
    ],
)
def test_a_mistake_is_told_in_words(folder: Path, cert: str, key: str | None, words: str) -> None:
    settings = settings_of(tls_cert=folder / cert, tls_key=key and folder / key)
    with pytest.raises(InvalidSettings, match=words):
        check_tls(settings)
