"""Downloaded weights: the right file or none, and always a sentence that says what to do."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights, VGG19_Weights

from hifacegan_lib.utils import weight_registry

CONTENT = b"one two three " * 300_000  # several chunks
HALF = len(CONTENT) // 2


class Publisher(BaseHTTPRequestHandler):
    """Sends CONTENT as the last part of the address asks for; writes down each address and range that was asked for."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str | None]] = []  # noqa: RUF012 (emptied by the fixture)

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).asked.append((self.path, wanted))
        manner = self.path.rpartition("/")[2].removesuffix(".pth")
        self.close_connection = True
        if manner == "gone":
            return self.send_error(404)
        if manner == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("moved", "good"))
            self.send_header("Content-Length", "0")
            return self.end_headers()
        content, start = CONTENT, 0
        if manner == "others":
            content = CONTENT[:-1] + b"!"
        elif manner == "longer":
            content = CONTENT + b"more"
        elif manner == "less":
            content = CONTENT[:HALF]
        if wanted and manner != "whole":
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        breaks = manner == "once" and len(self.asked) == 1
        end = min(len(content), start + HALF // 2) if breaks else len(content)
        if manner == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif manner == "understated":
            self.send_header("Content-Length", str(HALF - start))
        elif manner != "silent":  # says no length
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if manner == "chunked":
                for place in range(0, len(content), 65536):
                    part = content[place : place + 65536]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(content[start:end])
        return None

    def log_message(self, *_: object) -> None:
        """Say nothing."""


MANNERS = ("good", "moved", "once", "others", "longer", "less", "understated", "silent", "chunked", "whole", "gone")


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of downloads, empty, and a registry that points to a publisher on this machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(weight_registry.MIRROR, raising=False)
    Publisher.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        digest = hashlib.sha256(CONTENT).hexdigest()
        for name in MANNERS:
            address = f"http://127.0.0.1:{server.server_port}/{name}.pth"
            monkeypatch.setitem(
                weight_registry.REGISTRY, name, weight_registry.Weights(address, len(CONTENT), digest, "free", "a test")
            )
        yield tmp_path / "hub" / "checkpoints"
        server.shutdown()


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []


def kept(folder: Path) -> list[int]:
    return [p.stat().st_size for p in folder.iterdir() if p.name.endswith(".partial")]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("alexnet", AlexNet_Weights),
        ("vgg16", VGG16_Weights),
        ("vgg19", VGG19_Weights),
        ("squeezenet", SqueezeNet1_1_Weights),
    ],
)
def test_the_registry_agrees_with_torchvision(name: str, theirs: type) -> None:
    item, published = weight_registry.REGISTRY[name], theirs.IMAGENET1K_V1
    assert item.address == published.url
    assert item.file == f"{item.file.rpartition('-')[0]}-{item.sha256[:8]}.pth"
    assert item.size / 2**20 == pytest.approx(published.meta["_file_size"], rel=0.02)


@pytest.mark.parametrize("setting", ["TORCH_HOME", "XDG_CACHE_HOME", ""])
def test_files_lie_where_torch_looks_for_them(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if setting:
        monkeypatch.setenv(setting, "~/elsewhere")
    assert weight_registry.path("alexnet").parent == Path(torch.hub.get_dir(), "checkpoints")


def test_every_entry_is_whole() -> None:
    for name, item in weight_registry.REGISTRY.items():
        assert len(item.sha256) == 64 and int(item.sha256, 16) and item.size > 0 and item.licence and item.purpose
        assert item.address.startswith("https://") or name in MANNERS
        assert weight_registry.sha256(name) == item.sha256


@pytest.mark.parametrize("name", ["good", "moved", "silent", "chunked"])
def test_a_fetched_file_is_whole_in_its_place_and_alone(shelf: Path, name: str) -> None:
    assert weight_registry.fetch(name, progress=False) == shelf / f"{name}.pth"
    assert (shelf / f"{name}.pth").read_bytes() == CONTENT
    assert [path.name for path in shelf.iterdir()] == [f"{name}.pth"]
    assert weight_registry.verify(name) == weight_registry.path(name)


def test_a_file_that_is_there_is_not_fetched_again() -> None:
    for _ in range(2):
        weight_registry.fetch("good", progress=False)
    assert Publisher.asked == [("/good.pth", None)]


def test_a_download_that_broke_off_goes_on_where_it_stopped(shelf: Path) -> None:
    with pytest.raises(ConnectionError, match=r"connection too early.*are kept, the same command resumes.*copy the"):
        weight_registry.fetch("once", progress=False)
    assert visible(shelf) == [] and kept(shelf) == [HALF // 2]
    weight_registry.fetch("once", progress=False)
    assert Publisher.asked == [("/once.pth", None), ("/once.pth", f"bytes={HALF // 2}-")]
    assert (shelf / "once.pth").read_bytes() == CONTENT and [path.name for path in shelf.iterdir()] == ["once.pth"]


def test_a_server_that_gives_no_part_is_taken_whole(shelf: Path) -> None:
    shelf.mkdir(parents=True)
    (shelf / f".whole.pth.{weight_registry.sha256('whole')[:16]}.partial").write_bytes(CONTENT[:1000])
    weight_registry.fetch("whole", progress=False)
    assert Publisher.asked == [("/whole.pth", "bytes=1000-")]
    assert (shelf / "whole.pth").read_bytes() == CONTENT and kept(shelf) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("others", r"its sha256 is [0-9a-f]{64}, expected"),
        ("longer", rf"bytes, expected {len(CONTENT):,}"),
    ],
)
def test_other_bytes_are_refused_and_nothing_is_kept(shelf: Path, name: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"damaged or wrong file.*{said}"):
        weight_registry.fetch(name, progress=False)
    assert visible(shelf) == [] and kept(shelf) == []


@pytest.mark.parametrize("name", ["less", "understated"])
def test_a_length_that_lies_short_is_a_connection_that_broke_off(shelf: Path, name: str) -> None:
    with pytest.raises(ConnectionError, match="cannot be downloaded"):
        weight_registry.fetch(name, progress=False)
    assert visible(shelf) == []


def test_a_refusal_is_told(shelf: Path) -> None:
    with pytest.raises(ConnectionError, match=r"gone\.pth: cannot be downloaded \(HTTP Error 404: Not Found\)"):
        weight_registry.fetch("gone", progress=False)
    assert len(Publisher.asked) == 1 and visible(shelf) == []


def test_a_bad_download_keeps_what_was_there(shelf: Path) -> None:
    shelf.mkdir(parents=True)
    (shelf / "others.pth").write_bytes(b"another version")
    with pytest.raises(ValueError, match="damaged"):
        weight_registry.fetch("others", progress=False)
    assert (shelf / "others.pth").read_bytes() == b"another version"


@pytest.mark.parametrize("content", [b"half of it", CONTENT[:-1] + b"?"])
def test_a_damaged_or_swapped_file_is_refused_before_use_and_replaced_by_fetch(shelf: Path, content: bytes) -> None:
    weight_registry.fetch("good", progress=False)
    weight_registry.verify("good")
    (shelf / "good.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"good\.pth: damaged or wrong file: .*weights fetch good` replaces it"):
        weight_registry.verify("good")
    weight_registry.fetch("good", progress=False)
    assert weight_registry.verify("good").read_bytes() == CONTENT


def test_a_file_is_read_again_only_when_it_has_changed(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weight_registry.fetch("good", progress=False)
    calls: list[Path] = []
    real = weight_registry.content_problem
    monkeypatch.setattr(weight_registry, "content_problem", lambda path, *rest: calls.append(path) or real(path, *rest))
    for _ in range(3):
        weight_registry.verify("good")
    assert len(calls) == 1
    time.sleep(0.01)
    (shelf / "good.pth").touch()
    weight_registry.verify("good")
    assert len(calls) == 2


def test_a_mirror_is_asked_instead_and_believed_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    port = weight_registry.REGISTRY["good"].address.split("/")[2]
    for name in ("good", "others"):
        item = weight_registry.REGISTRY[name]._replace(address=f"http://nowhere.invalid/{name}.pth")
        monkeypatch.setitem(weight_registry.REGISTRY, name, item)
    monkeypatch.setenv(weight_registry.MIRROR, f"http://{port}/models/")
    weight_registry.fetch("good", progress=False)
    assert Publisher.asked == [("/models/good.pth", None)]
    with pytest.raises(ValueError, match=f"http://{port}/models/others.pth: damaged or wrong file"):
        weight_registry.fetch("others", progress=False)


def test_a_folder_can_be_the_mirror(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    monkeypatch.setenv(weight_registry.MIRROR, str(stick))
    with pytest.raises(ConnectionError, match=r"stick/good\.pth: cannot be downloaded .*No such file or directory"):
        weight_registry.fetch("good")
    (stick / "good.pth").write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ValueError, match="damaged or wrong file"):
        weight_registry.fetch("good")
    assert visible(shelf) == []
    (stick / "good.pth").write_bytes(CONTENT)
    assert weight_registry.fetch("good").read_bytes() == CONTENT and Publisher.asked == []


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    port = weight_registry.REGISTRY["good"].address.split("/")[2]
    item = weight_registry.REGISTRY["good"]._replace(address="http://publisher.invalid/good.pth")
    monkeypatch.setitem(weight_registry.REGISTRY, "good", item)
    monkeypatch.setenv("http_proxy", f"http://{port}")
    weight_registry.fetch("good", progress=False)
    assert Publisher.asked == [("http://publisher.invalid/good.pth", None)]


def test_two_at_once_bring_one_file(shelf: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: weight_registry.fetch("good", progress=False), range(3)))
    assert done == 3 * [shelf / "good.pth"] and done[0].read_bytes() == CONTENT
    assert [path.name for path in shelf.iterdir()] == ["good.pth"] and len(Publisher.asked) == 1


def test_no_server_is_a_sentence_with_a_way_out(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = weight_registry.REGISTRY["good"]._replace(address="http://127.0.0.1:9/good.pth")
    monkeypatch.setitem(weight_registry.REGISTRY, "good", item)
    with pytest.raises(ConnectionError, match=r"cannot be downloaded .* copy the file to .*good\.pth"):
        weight_registry.fetch("good", progress=False)
    assert visible(shelf) == []


def test_missing_weights_name_the_command() -> None:
    assert not weight_registry.is_present("alexnet")
    with pytest.raises(weight_registry.MissingWeights, match=r"\(233 MB, LPIPS\).*`hifacegan weights fetch alexnet`"):
        weight_registry.verify("alexnet")
    assert issubclass(weight_registry.MissingWeights, FileNotFoundError)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    for ask in (weight_registry.path, weight_registry.fetch):
        with pytest.raises(ValueError, match="unknown weights 'vgg11'; known: alexnet, vgg16"):
            ask("vgg11")


def test_the_command_lists_fetches_and_verifies(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weight_registry.command("list", []) == 0
    said = capsys.readouterr().out
    assert "vgg19      missing     548 MB  for perceptual loss" in said
    for value in ("https://download.pytorch.org/models/vgg19", "dcbb9e9dad569fff", "non-commercial research"):
        assert value in said
    with pytest.raises(ValueError, match="name at least one of"):
        weight_registry.command("fetch", [])
    assert weight_registry.command("fetch", ["good"]) == 0
    assert weight_registry.command("verify", []) == weight_registry.command("verify", ["good"]) == 0
    assert weight_registry.command("verify", ["gone"]) == 1
    (shelf / "good.pth").write_bytes(b"")
    assert weight_registry.command("verify", []) == 1
    assert "good       damaged" in capsys.readouterr().out


def test_the_progress_bar_counts_the_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    weight_registry.fetch("good")
    assert "4.01M/4.01M" in capsys.readouterr().err
