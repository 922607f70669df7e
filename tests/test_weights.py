"""Downloaded weights: the right file or none, and always a sentence that says what to do."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision.models import AlexNet_Weights, VGG19_Weights

from hifacegan_lib import weights

CONTENT = b"one two three " * 100_000  # more than one chunk
PUBLISHED = {"/good.pth": CONTENT, "/damaged.pth": CONTENT[:-1] + b"!", "/short.pth": CONTENT[:-1]}


class Publisher(BaseHTTPRequestHandler):
    """Announces the length of CONTENT and sends what PUBLISHED has; counts its answers."""

    answers = 0

    def do_GET(self) -> None:
        type(self).answers += 1
        if self.path not in PUBLISHED:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(PUBLISHED[self.path])
        return None

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of downloads, empty, and a registry that points to a publisher on this machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Publisher.answers = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        digest = hashlib.sha256(CONTENT).hexdigest()
        for name in ("good", "damaged", "short", "gone"):
            address = f"http://127.0.0.1:{server.server_port}/{name}.pth"
            monkeypatch.setitem(weights.REGISTRY, name, weights.Weights(address, 1, digest[:8], "free", "a test"))
        yield tmp_path / "hub" / "checkpoints"
        server.shutdown()


@pytest.mark.parametrize(("name", "theirs"), [("alexnet", AlexNet_Weights), ("vgg19", VGG19_Weights)])
def test_the_registry_agrees_with_torchvision(name: str, theirs: type) -> None:
    item, published = weights.REGISTRY[name], theirs.IMAGENET1K_V1
    assert item.address == published.url
    assert item.file == f"{item.file.rpartition('-')[0]}-{item.sha256_prefix}.pth"
    assert item.megabytes == round(published.meta["_file_size"])


def test_a_fetched_file_is_whole_in_its_place_and_alone(shelf: Path) -> None:
    assert weights.fetch("good", progress=False) == shelf / "good.pth"
    assert (shelf / "good.pth").read_bytes() == CONTENT
    assert [path.name for path in shelf.iterdir()] == ["good.pth"]
    assert weights.require("good") == weights.verify("good") == weights.path("good")


def test_a_file_that_is_there_is_not_fetched_again() -> None:
    for _ in range(2):
        weights.fetch("good", progress=False)
    assert Publisher.answers == 1


def test_a_damaged_file_on_disk_is_named_and_fetched_again(shelf: Path) -> None:
    shelf.mkdir(parents=True)
    (shelf / "good.pth").write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"good\.pth: damaged or another file: its sha256"):
        weights.verify("good")
    weights.fetch("good", progress=False)
    assert weights.verify("good").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("damaged", ValueError, "damaged or another file"),
        ("short", ConnectionError, "broke off after 1399999 of 1400000 bytes"),
        ("gone", ConnectionError, "404 Not Found"),
    ],
)
def test_a_bad_download_leaves_nothing(shelf: Path, name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        weights.fetch(name, progress=False)
    assert weights.REGISTRY[name].address in str(caught.value)
    assert not list(shelf.iterdir())


def test_a_bad_download_keeps_what_was_there(shelf: Path) -> None:
    shelf.mkdir(parents=True)
    (shelf / "short.pth").write_bytes(b"another version")
    with pytest.raises(ConnectionError):
        weights.fetch("short", progress=False)
    assert [path.read_bytes() for path in shelf.iterdir()] == [b"another version"]


def test_no_server_is_a_sentence_with_a_way_out(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = weights.REGISTRY["good"]._replace(address="http://127.0.0.1:9/good.pth")
    monkeypatch.setitem(weights.REGISTRY, "good", item)
    with pytest.raises(ConnectionError, match=r"cannot be downloaded .* save it as .*good\.pth"):
        weights.fetch("good", progress=False)
    assert not list(shelf.iterdir())


def test_missing_weights_name_the_command() -> None:
    assert not weights.is_present("alexnet")
    for ask in (weights.require, weights.verify):
        with pytest.raises(weights.MissingWeights, match="`hifacegan weights fetch alexnet`"):
            ask("alexnet")
    assert issubclass(weights.MissingWeights, FileNotFoundError)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    for ask in (weights.path, weights.fetch):
        with pytest.raises(ValueError, match="'vgg16': unknown; there are: alexnet, vgg19"):
            ask("vgg16")


def test_the_command_lists_fetches_and_verifies(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights.command("list", []) == 0
    assert "vgg19     missing   548 MB  for perceptual loss" in capsys.readouterr().out
    with pytest.raises(ValueError, match="name at least one of"):
        weights.command("fetch", [])
    assert weights.command("fetch", ["good"]) == 0
    assert weights.command("verify", []) == weights.command("verify", ["good"]) == 0
    assert weights.command("verify", ["gone"]) == 1
    (shelf / "good.pth").write_bytes(b"")
    assert weights.command("verify", []) == 1
    assert "good      damaged" in capsys.readouterr().out


def test_the_progress_bar_counts_the_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    weights.fetch("good")
    assert "1.40M/1.40M" in capsys.readouterr().err
