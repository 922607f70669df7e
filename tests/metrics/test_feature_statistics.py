"""Statistics of features: SciPy's and torchmetrics' distances of the same features, files of others, and refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from hifacegan_lib import cli
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics import feature_statistics, fid_kid
from hifacegan_lib.metrics.feature_statistics import Target, features_of, fingerprint, read, statistics_of, write
from hifacegan_lib.metrics.fid_kid import FEATURES, NETWORK, fid, fid_to, kid
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.utils.images import load_image, save_image, to_float
from hifacegan_lib.utils.item_guard import ItemGuard


class Tiles(nn.Module):
    """Means of tiles, 48 features, of uint8 or float pictures: a network that others can be given too."""

    num_features = 48

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(image.float() / (1 if image.is_floating_point() else 255), 4).flatten(
            1
        )


class Wide(nn.Module):
    """As many features as Inception has, on the place of its network: uint8 in, a tuple out."""

    def forward(self, image: Tensor) -> tuple[Tensor]:
        means = nn.functional.adaptive_avg_pool2d(image.float() / 255, 8).flatten(1)  # N x 192
        mix = torch.randn(192, FEATURES, generator=torch.Generator().manual_seed(0))
        return (means @ mix,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Faces of two sizes, in names with a space and an umlaut."""
    place = tmp_path / "Gesichter für alle"
    for n in range(6):
        save_image(place / f"face {n}.png", portrait(n, 64 if n % 2 else 48))
    return place


@pytest.fixture
def inception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fid_kid, "_inception", Wide)


def of(folder: Path) -> np.ndarray:
    return features_of(folder, Tiles(), ItemGuard())


def test_fid_to_statistics_is_scipys_and_that_of_the_features() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(12, 12))
    for n in (8, 99):  # with a singular covariance, and without
        a, b = rng.normal(size=(n, 12)) @ mix + 30, rng.normal(size=(150, 12)) @ mix + 31
        found = fid_to(a, *statistics_of(b)[:2])
        root = np.linalg.eigvals(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real.clip(0) ** 0.5
        if n > 12:
            root = np.linalg.eigvals(sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))).real
        spread = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False)) - 2 * root.sum()
        assert found == pytest.approx(np.square(a.mean(0) - b.mean(0)).sum() + spread, rel=1e-6)
        assert found == pytest.approx(fid(a, b), rel=1e-6)


def test_fid_to_a_written_file_is_torchmetrics(folder: Path, tmp_path: Path) -> None:
    pictures = torch.stack([torch.from_numpy(portrait(n, 64).transpose(2, 0, 1).copy()) for n in range(20, 80)])
    theirs = FrechetInceptionDistance(Tiles()).set_dtype(torch.float64)
    theirs.update(pictures, real=False)
    for file in sorted(folder.iterdir()):
        theirs.update(torch.from_numpy(load_image(file).transpose(2, 0, 1).copy())[None], real=True)
    file = write(tmp_path / "new/stat.npz", statistics_of(of(folder)))
    with np.load(file) as found:
        value = fid_to(Tiles()(pictures), found["mu"], found["sigma"])
    assert value == pytest.approx(theirs.compute().item(), rel=1e-4)


@pytest.mark.usefixtures("inception")
def test_a_folder_and_its_file_give_the_same_fid_and_kid_needs_the_folder(folder: Path, tmp_path: Path) -> None:
    assert cli.main(["statistics", str(folder), str(tmp_path / "ä b.npz"), "--device", "cpu"]) == 0
    known = read(tmp_path / "ä b.npz")
    assert known.words == f"{known.images} images, fingerprint {fingerprint(folder)}, {NETWORK}" and known.images == 6
    faces = torch.stack([to_float(portrait(n, 32)) for n in range(10, 15)])
    batch = [{"clean": faces, "degraded": faces, "key": list("abcde")}]
    from_file, from_folder = (
        evaluate({}, batch, 100, metrics=standard(["fid", "kid"], statistics=source))
        for source in (tmp_path / "ä b.npz", folder)
    )
    assert (
        from_file.rows[0]["fid"] == pytest.approx(from_folder.rows[0]["fid"], rel=1e-6) and from_file.rows[0]["fid"] > 1
    )
    assert "KID needs the features of each image: name the folder" in from_file.conditions["unavailable"]["kid"]
    network = fid_kid.Inception()
    expected = kid(network(faces), features_of(folder, network, ItemGuard())).mean
    assert from_folder.rows[0]["kid"] == pytest.approx(expected, rel=1e-9)
    for found in (from_file, from_folder):
        assert fingerprint(folder) in found.conditions["metrics"]["fid"] and found.metrics["fid"].against == ""


def test_pytorch_fids_files_are_read_and_their_silence_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "theirs.npz", mu=rng.normal(size=FEATURES), sigma=np.eye(FEATURES))
    target = Target(tmp_path / "theirs.npz", Tiles())
    assert "number of images unknown, network not named in the file" in target.words
    with pytest.raises(ValueError, match="a has 48 features, b 2048"):
        target.fid(rng.normal(size=(5, 48)))


def test_the_fingerprint_is_of_names_and_contents(folder: Path) -> None:
    first = fingerprint(folder)
    (folder / "notes.txt").write_text("no image")
    assert fingerprint(folder) == first
    (folder / "face 0.png").rename(folder / "face 9.png")
    renamed = fingerprint(folder)
    save_image(folder / "face 1.png", portrait(99, 48))
    assert len({first, renamed, fingerprint(folder)}) == 3


@pytest.mark.usefixtures("inception")
def test_unreadable_files_are_listed_and_few_pictures_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.png").write_bytes(b"half of it")
    out = tmp_path / "out.npz"
    assert cli.main(["statistics", str(folder), str(out)]) == 1
    assert "left out: bad.png: " in capsys.readouterr().err and read(out).images == 6
    with pytest.raises(MetricUnavailable, match=r"1 unreadable: bad\.png: "):
        Target(folder, Tiles()).fid(np.zeros((3, 48)))
    for n in range(1, 6):
        (folder / f"face {n}.png").unlink()
    for given, said in (
        (folder, "statistics of 1 images: at least two"),
        (tmp_path / "none", "no such file or folder"),
    ):
        assert cli.main(["statistics", str(given), str(tmp_path / "no.npz")]) == 1
        assert said in capsys.readouterr().err and not (tmp_path / "no.npz").exists()
    assert cli.main(["statistics", str(folder), str(out)]) == 1 and "exists already" in capsys.readouterr().err
    assert cli.main(["statistics", str(folder), str(tmp_path / "out.txt")]) == 1
    assert "expected a name that ends with .npz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"mu": np.zeros(3)}, "no sigma in it; found: mu"),
        (
            {"mu": np.zeros(768), "sigma": np.eye(768)},
            r"mu \(768,\), sigma .* statistics of other features; expected 2048",
        ),
        ({"mu": np.zeros(2048), "sigma": np.eye(64)}, "statistics of other features"),
        ({"mu": np.zeros(2048), "sigma": np.zeros((2049, 1))}, "statistics of other features"),
        ({"mu": np.full(2048, np.nan), "sigma": np.eye(2048)}, "is not finite"),
        ({"mu": np.zeros(2048), "sigma": np.eye(2048), "network": "CLIP"}, "of another network: 'CLIP'"),
    ],
)
def test_statistics_of_other_features_are_refused(tmp_path: Path, content: dict, said: str) -> None:
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(ValueError, match=rf"x\.npz: .*{said}"):
        standard(["fid"], statistics=tmp_path / "x.npz")


def test_what_is_no_statistics_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", mu=np.zeros(2048))
    for content in (b"half of it", b"", (tmp_path / "whole.npz").read_bytes()[:3000]):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.npz: expected a \.npz file with mu and sigma"):
            read(tmp_path / "x.npz")
    np.save(tmp_path / "y.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"y\.npy: expected a \.npz file"):
        read(tmp_path / "y.npy")
    with pytest.raises(FileNotFoundError, match=r"z\.npz: no such file or folder"):
        standard(["fid"], statistics=tmp_path / "z.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no image file below it"):
        Target(tmp_path / "empty", Tiles())
    assert feature_statistics.FEATURES == 2048
