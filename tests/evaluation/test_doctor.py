from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import scripts
import torch
from published import faces, ours, tensors

from hifacegan_lib import cli
from hifacegan_lib.evaluation import doctor
from hifacegan_lib.models import checkpoints, published, train_eval
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.utils import images


@pytest.fixture(scope="module")
def generator() -> Generator:
    return published.import_state(tensors("hifacegan", 4))[0]


@pytest.fixture(scope="module")
def experiment() -> ModuleType:
    return scripts.load("doctor")


def state(generator: Generator) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in generator.state_dict().items()}


def test_making_a_network_safe_leaves_the_first_one_whole(generator: Generator) -> None:
    before, batch = state(generator), faces(2, 3, 64, 64)
    train_eval.eval_safe(generator, batch)
    doctor.examine(generator, batch)
    assert not generator.training
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())
    assert generator(batch).isfinite().all()


@pytest.mark.parametrize("wrong", ["statistics", "spectral"])
def test_the_doctor_names_the_half_that_is_wrong(wrong: str) -> None:
    """A sound network, train() and eval() alike, with one of the two spoilt."""
    generator, batch = published.import_state(tensors("hifacegan", 4))[0], faces(1, 3, 64, 64)
    for _ in range(60):
        published.step_as_published(generator)
    for name, (mean, variance) in train_eval.batch_statistics(generator, batch).items():
        norm = generator.get_submodule(name)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance * (9 if wrong == "statistics" else 1))
    report = doctor.examine(generator, batch)
    if wrong == "spectral":
        assert "the same picture" in doctor.culprit(report)
        with torch.no_grad():
            for layer in generator.spectral_layers().values():
                vectors = published.spectral_parts(layer)[1]
                vectors._v.copy_(torch.nn.functional.normalize(torch.ones_like(vectors._v), dim=0))
        report = doctor.examine(generator, batch)
    cause = {
        "statistics": "running statistics of batch norms alone",
        "spectral": "stored vectors of spectral norms alone",
    }
    assert cause[wrong] in doctor.culprit(report)


def test_the_report_holds_what_was_measured(generator: Generator) -> None:
    report = doctor.examine(generator, faces(2, 3, 64, 64))
    text = doctor.describe(report)
    assert "hifacegan, width 4, 1.32 M parameters" in text
    assert "18 layers; u^T W v is off the SVD by up to" in text
    assert text.count(".batch_norm ") == 18 and text.count("<- worst") == 1
    assert "at the ends" in text and "neighbours" in text
    assert 0 <= report.pictures["eval"].min() < report.pictures["eval"].max() <= 1
    assert report.neighbours > 1e-3


def test_networks_of_ours_are_sound() -> None:
    report = doctor.examine(ours(spectral_norm=True, skip=False), faces(2, 3, 32, 32))
    assert doctor.describe(report).startswith("variant       ours, ") and report.drifts.empty
    assert report.neighbours < 1e-5
    assert "the same picture (100.0 dB" in doctor.culprit(report)
    assert "spectral norm none" in doctor.describe(doctor.examine(ours(), faces(1, 3, 32, 32)))


def test_pictures_to_look_at_come_from_a_folder_or_are_drawn(tmp_path: Path) -> None:
    drawn = doctor.sample_images(None, 32, 2)
    assert drawn.shape == (2, 3, 32, 32) and torch.equal(drawn, doctor.sample_images(None, 32, 2))
    with pytest.raises(ValueError, match="no image file below it"):
        doctor.sample_images(tmp_path, 32, 2)
    for name in ("a.png", "deep/b.png", "c.png"):
        images.save_image(tmp_path / name, np.full((40, 30, 3), 51, np.uint8))
    found = doctor.sample_images(tmp_path, 16, 2)
    assert found.shape == (2, 3, 16, 16) and found.unique().tolist() == pytest.approx([0.2])


def test_the_command_examines_and_writes_a_file_that_restores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, safe, damaged = tmp_path / "latest_net_G.pth", tmp_path / "safe.safetensors", tmp_path / "damaged"
    torch.save({f"module.{name}": value for name, value in tensors("lipspade", 4).items()}, checkpoint)
    for n, face in enumerate(doctor.sample_images(None, 64, 3)):
        images.save_image(damaged / f"{n}.png", images.to_uint8(face))
    command = ["doctor", str(checkpoint), "--images", str(damaged), "--size", "64", "--out", str(safe)]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "read as       Face-Renovation" in out and "statistics frozen from the images" in out
    loaded, info = checkpoints.load_generator(safe)
    assert loaded.config.norm == "frozen" and info["image_size"] == 64 and info["variant"] == "lipspade"
    assert cli.main(command) == 1
    assert "exists already" in capsys.readouterr().err
    restore = ["restore", str(damaged), str(tmp_path / "out"), "--checkpoint", str(safe), "--device", "cpu"]
    assert cli.main(restore) == 0
    assert cli.main(["doctor", str(safe), "--size", "64", "--count", "2"]) == 0
    assert "the same picture (100.0 dB" in capsys.readouterr().out


def test_lost_vectors_break_eval_and_kept_ones_do_not(experiment: ModuleType) -> None:
    """docs/doctor.md's finding, at a size for tests."""
    degraded, clean = (torch.stack(part) for part in zip(*experiment.pairs(range(4), 64), strict=True))
    worse = {}
    for regime in experiment.REGIMES:
        generator, beginning = experiment.train_as_published(regime, "spade", 4, 64, 25)
        shown = experiment.pictures(generator, beginning, degraded)
        gain = {name: doctor.psnr(picture, clean) for name, picture in shown.items()}
        worse[regime] = gain["train()"] - gain["eval()"]
        vectors = train_eval.spectral_sigmas(generator)["deviation"].max()
        assert (vectors > 0.5) == (regime == "lost")
        assert gain["eval-safe, own"] == pytest.approx(gain["train()"], abs=0.01)
        assert gain["eval-safe, frozen"] > gain["train()"] - 1.5
    assert abs(worse["kept"]) < 1.5
    assert worse["lost"] > 3


def test_a_report_to_the_letter() -> None:
    sigmas = pd.DataFrame(
        {"stored": [1.0, 2.5], "true": [1.0, 2.0], "deviation": [0.0, 0.25]}, ["a.weight", "b.weight"]
    )
    drifts = pd.DataFrame({"mean": [0.5, 0.1], "spread": [0.0, 0.693147], "size": [0.5, 0.693147]}, ["one", "two"])
    train = torch.tensor([0.0, 0.25, 1.0, 0.75]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    pictures = {"train": train, "eval": train * 0.5}
    halves = ("running statistics of batch norms", "stored vectors of spectral norms")
    report = doctor.Report(ours(), sigmas, drifts, pictures, dict(zip(halves, (12.0, 60.0), strict=True)), 0.125)
    text = doctor.describe(report).splitlines()
    assert text[0].startswith("variant       ours, width 4, 0.02 M parameters") and "stages 2" in text[1]
    assert text[2:] == [
        "spectral norm 2 layers; u^T W v is off the SVD by up to 25.00%:",
        "              b.weight: 2.5, SVD 2",
        "batch norm    running against these images' statistics, rms over channels:",
        "              one                              mean 0.50 deviations, spread x 1.00",
        "              two                              mean 0.10 deviations, spread x 2.00   <- worst",
        "output        train()  0.000 to 1.000, mean 0.500, 50.0% at the ends",
        "              eval()   0.000 to 0.500, mean 0.250, 25.0% at the ends",
        "train, eval   9.9 dB between them, at most 0.5000 apart",
        "              eval() differs by its stored vectors of spectral norms alone: switched to train()'s, 60.0 dB",
        "neighbours    in train() they change a picture by up to 0.1250",
    ]
    none = report._replace(sigmas=sigmas[:0], drifts=drifts[:0], alone=dict(zip(halves, (12.0, 20.0), strict=True)))
    assert "spectral norm none" in doctor.describe(none) and "none that moves (norm instance)" in doctor.describe(none)
    assert "differs by both, most by its stored vectors of spectral norms: switched to train()'s alone, 20.0 dB" in (
        doctor.culprit(none)
    )
    assert doctor.culprit(none._replace(pictures={"train": train, "eval": train})) == (
        "train() and eval() draw the same picture (100.0 dB between them)"
    )
