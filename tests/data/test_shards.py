"""Shards: the pairs of the files, from a folder, a web server and an object store; faults are named."""

import json
import multiprocessing
import shutil
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hifacegan_lib import pipeline, runs
from hifacegan_lib.data import mirrors
from hifacegan_lib.data.face_loader import FaceLoader, LoaderConfig, load_entry
from hifacegan_lib.data.manifest import NAME, Manifest
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.data.shards import working_side, write_shards
from hifacegan_lib.params import DataPreparation, ParamsError
from hifacegan_lib.utils.files import sha256
from hifacegan_lib.utils.images import load_image, save_image

SIZE, CROP = 24, 0.75
FEW = 3 * 96 * 72 * 3 + 10_000  # bytes of a shard of the tests: a few faces


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures to train on and five to validate, 100 x 80."""
    root = tmp_path_factory.mktemp("shards")
    for number in range(17):
        noise = np.random.default_rng(number).integers(0, 256, (100, 80, 3), dtype=np.uint8)
        save_image(root / f"faces/{number:02d}.png", noise)
    sizes = {"train_size": 12, "valid_size": 5}
    prepare(source="folder", source_path=root / "faces", data_dir=root / "data", progress=False, **sizes)
    return root / "data"


def write(data: Path, folder: Path, **changes: Any) -> Manifest:
    return write_shards(Manifest.load(data), folder, SIZE, CROP, progress=False, **{"shard": FEW, **changes})


@pytest.fixture(scope="module")
def shards(data: Path) -> Path:
    return write(data, data / "shards").folder


def loader(data_dir: Path, split: str = "train", **changed: Any) -> FaceLoader:
    random = {"crop_min": CROP, "flip_probability": 0.5} if split == "train" else {}
    options = {"image_size": SIZE, "recipe": "report", "batch_size": 4, **random, **changed}
    return FaceLoader(LoaderConfig(data_dir=data_dir, **options), split)


def pairs(data_dir: Path, count: int = 9, **changed: Any) -> list[dict[str, Any]]:
    """The first batches, over several epochs."""
    stream = loader(data_dir, **changed).batches()
    found = list(islice(stream, count))
    stream.close()
    return found


def assert_same(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> None:
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        assert a["key"] == b["key"] and a["trace"] == b["trace"]
        assert torch.equal(a["clean"], b["clean"]) and torch.equal(a["degraded"], b["degraded"])


# what shards hold


def test_faces_that_need_no_shrinking_give_the_pairs_of_the_files(data: Path, tmp_path: Path) -> None:
    whole = write(data, tmp_path / "whole", side=80).folder
    assert_same(pairs(whole), pairs(data))
    for entry, file in zip(Manifest.load(whole).files("train"), Manifest.load(data).files("train"), strict=True):
        assert (entry.key, entry.sha256, entry.height, entry.width) == (file.key, file.sha256, 100, 80)
        assert np.array_equal(load_entry(entry), load_entry(file))


def test_validation_faces_are_the_pixels_that_the_loader_makes_from_files(data: Path, shards: Path) -> None:
    stored, files = list(loader(shards, "valid")), list(loader(data, "valid"))
    assert [batch["key"] for batch in stored] == [batch["key"] for batch in files]
    for name in ("clean", "degraded"):
        assert all(torch.equal(a[name], b[name]) for a, b in zip(stored, files, strict=True))


def test_without_random_crops_training_faces_are_the_pixels_of_the_files_too(data: Path, tmp_path: Path) -> None:
    whole = write_shards(Manifest.load(data), tmp_path / "whole", SIZE, 1.0, progress=False).folder
    given = {"crop_min": 1.0, "flip_probability": 0.0}
    for stored, files in zip(pairs(whole, **given), pairs(data, **given), strict=True):
        assert stored["key"] == files["key"] and torch.equal(stored["degraded"], files["degraded"])


def test_training_faces_have_the_working_side_and_no_crop_is_enlarged(shards: Path) -> None:
    assert working_side(SIZE, CROP) == 64 and working_side(SIZE, CROP, 40) == 40 and working_side(SIZE, 1.0) == SIZE
    sizes = {(entry.height, entry.width) for entry in Manifest.load(shards).files("train")}
    assert sizes == {(80, 64)}
    with pytest.raises(ValueError, match=r"side = 31: expected at least image_size / crop_min = 32"):
        working_side(SIZE, CROP, 31)


def test_a_shard_is_a_webdataset_that_says_whose_faces_it_holds(data: Path, shards: Path) -> None:
    names, keys = [], []
    for path in sorted(shards.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            names += [member.name for member in members]
            told = [json.loads(tar.extractfile(member).read()) for member in members[::2]]  # type: ignore[union-attr]
        keys += [face["key"] for face in told]
        assert {(face["split"], face["size"]) for face in told} == {("train", 64)}
    assert names == [f"{number:08d}.{suffix}" for number in range(12) for suffix in ("json", "npy")]
    assert keys == [entry.key for entry in Manifest.load(data).files("train")]
    assert sorted(path.name[:5] for path in shards.glob("*.tar")) == ["train", "train", "train", "valid"]


def test_any_number_of_threads_writes_the_same_bytes_and_whole_shards_are_kept(
    data: Path, shards: Path, tmp_path: Path
) -> None:
    again = write(data, tmp_path / "data/shards", workers=2).folder
    expected = {path.name: sha256(path) for path in sorted(shards.iterdir())}
    assert {path.name: sha256(path) for path in sorted(again.iterdir())} == expected
    (again / NAME).unlink()  # as an interrupted call leaves it
    (again / "train-000001.tar").unlink()
    (again / ".train-000001.99.partial.tar").write_bytes(b"half")
    kept = (again / "train-000000.tar").stat().st_mtime_ns
    write(data, again)
    assert not list(again.glob(".*"))
    assert {name: sha256(again / name) for name in expected} == expected
    assert (again / "train-000000.tar").stat().st_mtime_ns == kept


def test_other_shards_and_changed_files_are_refused(data: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=r"train-000000\.tar: holds other faces"):
        write(data, shards, side=40)
    moved = shutil.copytree(data.parent, tmp_path / "moved", ignore=shutil.ignore_patterns("shards")) / "data"
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train-000000.tar").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"train-000000\.tar: .* no whole shard"):
        write(moved, tmp_path / "out")
    path = Manifest.load(moved).files("train")[0].path
    save_image(path, load_image(path)[::-1])
    with pytest.raises(ValueError, match=rf"{path.name}: the file changed"):
        write(moved, tmp_path / "other")
    with pytest.raises(ValueError, match="holds shards already"):
        write(shards, tmp_path / "twice")


# how pairs are read


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_pairs_depend_on_key_epoch_and_seed_alone(shards: Path) -> None:
    alone = pairs(shards)
    assert_same(pairs(shards, workers=2), alone)
    assert_same(list(islice(loader(shards).batches(4), 5)), alone[4:])
    assert pairs(shards, 1, seed=1)[0]["trace"] != alone[0]["trace"]


def test_two_processes_see_each_face_once_an_epoch(shards: Path) -> None:
    shares = [list(islice(loader(shards).batches(0, rank, 2), 9)) for rank in range(2)]
    stream = [
        key
        for turn in zip(*shares, strict=True)
        for keys in zip(*(b["key"] for b in turn), strict=True)
        for key in keys
    ]
    assert stream == [key for batch in pairs(shards) for key in batch["key"]]
    assert all(len(set(stream[12 * epoch :][:12])) == 12 for epoch in range(3))


def damage(shard: Path, how: str) -> None:
    content = bytearray(shard.read_bytes())
    content[3000] ^= 1  # a pixel of the first face
    if how == "missing":
        shard.unlink()
    else:
        shard.write_bytes(content if how == "changed" else content[:2000])


@pytest.mark.parametrize("how", ["missing", "changed", "broken"])
def test_a_shard_that_is_damaged_is_named(shards: Path, tmp_path: Path, how: str) -> None:
    copy = shutil.copytree(shards, tmp_path / "copy")
    Manifest.load(copy).verify()
    damage(copy / "train-000001.tar", how)
    with pytest.raises((ValueError, FileNotFoundError), match=rf"{copy}/train-000001\.tar"):
        pairs(copy)
    with pytest.raises(ValueError, match=r"differ from the manifest: .*train-000001\.tar.*"):
        Manifest.load(copy).verify()


# from elsewhere


class _Counting(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - of all requests

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """The address of a server on this machine, and the folder that it serves."""
    monkeypatch.setenv("HIFACEGAN_HOME", str(tmp_path / "home"))
    served = shutil.copytree(shards, tmp_path / "served")
    _Counting.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Counting, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/served/", served
        server.shutdown()
        thread.join()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_web_server_gives_the_same_pairs_and_each_shard_once(web: tuple[str, Path], shards: Path) -> None:
    folder = runs.data_folder(web[0])
    assert folder.is_relative_to(runs.home() / "data") and not list(folder.glob("*.tar"))
    assert_same(pairs(folder, workers=2), pairs(shards))
    assert_same(pairs(folder), pairs(shards))
    Manifest.load(folder).verify()
    p = DataPreparation.checked({"data_dir": web[0]}, "test")
    assert pipeline.prepare_data(p) == pipeline.find_data(p) == Manifest.load(folder)
    with pytest.raises(ParamsError, match="shards at an address are only read"):
        pipeline.prepare_data(p.model_copy(update={"overwrite": True}))
    assert sorted(_Counting.asked) == sorted({f"/served/{path.name}" for path in shards.iterdir()})


@pytest.mark.parametrize("how", ["missing", "changed", "broken"])
def test_damage_on_a_server_is_named_and_can_be_repaired(web: tuple[str, Path], shards: Path, how: str) -> None:
    address, served = web
    folder = runs.data_folder(address)
    damage(served / "train-000001.tar", how)
    with pytest.raises((ValueError, FileNotFoundError), match=rf"{address}train-000001\.tar"):
        pairs(folder)
    shutil.copy(shards / "train-000001.tar", served)
    assert_same(pairs(folder), pairs(shards))


def test_other_data_at_the_address_have_another_mirror(web: tuple[str, Path], data: Path) -> None:
    address, served = web
    first = runs.data_folder(address)
    shutil.rmtree(served)
    write(data, served, side=40)
    mirrors.mirrored.cache_clear()  # as a new process
    second = runs.data_folder(address)
    assert second != first and Manifest.load(second).files("train")[0].width == 40


def test_an_address_without_shards_is_named(web: tuple[str, Path]) -> None:
    with pytest.raises(FileNotFoundError, match=r"/none/manifest\.json: no such file"):
        runs.data_folder(web[0].replace("served", "none"))
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1:9/x/manifest\.json"):
        runs.data_folder("http://127.0.0.1:9/x")
    with pytest.raises(OSError, match=r"nowhere://x/manifest\.json"):
        runs.data_folder("nowhere://x")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system of a local S3 server, with the bucket ``faces``."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("faces")
    yield system
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_an_object_store_gives_the_same_pairs(
    bucket: Any, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIFACEGAN_HOME", str(tmp_path))
    before = set(multiprocessing.active_children())
    bucket.put(f"{shards}/", "faces/small/", recursive=True)
    folder = runs.data_folder("s3://faces/small")
    assert_same(pairs(folder, workers=2), pairs(shards))
    bucket.rm("faces/small/valid-000000.tar")
    with pytest.raises(FileNotFoundError, match=r"s3://faces/small/valid-000000\.tar: no such file"):
        list(loader(folder, "valid"))
    with pytest.raises(FileNotFoundError, match=r"s3://faces/none/manifest\.json"):
        runs.data_folder("s3://faces/none")
    assert set(multiprocessing.active_children()) <= before
