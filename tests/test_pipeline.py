"""From parameters to a finished run: measured, reported, resumed, fine-tuned, refused."""

import json
from pathlib import Path
from typing import Any

import published
import pytest
import torch

from hifacegan_lib import first_networks, pipeline
from hifacegan_lib.models import checkpoints
from hifacegan_lib.params import DataPreparation, Evaluation, ParamsError, Training
from hifacegan_lib.reports.progress import Progress
from hifacegan_lib.training import loop
from hifacegan_lib.utils.folder_lock import locked

FACES = {"data_dir": "data/tiny", "synthetic_size": 32, "train_size": 12, "valid_size": 8}
TINY: dict[str, Any] = {
    "data_dir": "data/tiny",
    "image_size": 16,
    "width": 4,
    "hidden": 4,
    "discriminator_width": 4,
    "batch_size": 4,
    "steps": 4,
    "decay_steps": 2,
    "adversary_from": 0,
    "log_every": 1,
    "picture_every": 2,
    "checkpoint_every": 2,
    "progress": "none",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFACEGAN_HOME", str(folder))
        pipeline.prepare_data(DataPreparation.checked(FACES, "test"))
        pipeline.train_model(parameters())
    return folder


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIFACEGAN_HOME", str(home))


def parameters(**changes: Any) -> Training:
    return Training.checked({**TINY, "run_name": "run", **changes}, "test")


def test_a_finished_run_is_measured_on_every_validation_face(home: Path) -> None:
    result = json.loads((home / "runs" / "run" / "result.json").read_text())
    assert result["faces"] == 8 and result["steps"] == 4 and result["device"] == "cpu" and result["warnings"] == 0
    assert result["gain"] == pytest.approx(result["psnr"] - result["psnr_degraded"], abs=1e-4)
    assert 0 < result["ssim"] < 1 and result["seconds"] > 0
    assert result["seconds"] == journal(home, "run")[-1]["seconds"]


def test_overwrite_does_not_remove_what_the_run_begins_from(home: Path) -> None:
    first = home / "runs" / "run" / "checkpoints" / "step_000004"
    with pytest.raises(ParamsError, match="overwrite would remove it; choose another run_name"):
        pipeline.train_model(parameters(init_from=str(first), overwrite=True))
    with pytest.raises(ParamsError, match=r"flow_mean = .* overwrite would remove it; choose another run_name"):
        pipeline.train_model(parameters(objective="flow", flow_mean=str(first), overwrite=True))
    assert first.is_dir()


def test_a_second_training_of_one_run_is_refused(home: Path) -> None:
    with (
        locked(home / "runs" / "run"),
        pytest.raises(BlockingIOError, match=r"runs/run: another process is writing into this folder"),
    ):
        pipeline.train_model(parameters())


def test_a_run_leaves_a_report_of_its_own(home: Path) -> None:
    page = (home / "runs" / "run" / "report.html").read_text()
    result = json.loads((home / "runs" / "run" / "result.json").read_text())
    assert f"{result['psnr']:.2f}" in page
    assert str(home) not in page


def test_a_network_is_never_shown_with_another_ones_curves() -> None:
    own = pipeline.training_record(Evaluation.checked({"run_name": "run"}, "test"))
    assert own and own.steps == 4
    shipped = Evaluation.checked({"run_name": "run", "checkpoint": "compact-256-fidelity"}, "test")
    assert pipeline.training_record(shipped) is None


def test_a_finished_run_is_left_alone(home: Path) -> None:
    folder = home / "runs" / "run"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("checkpoints/*/*")}
    page = (folder / "report.html").stat().st_mtime_ns
    assert pipeline.train_model(parameters()) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.glob("checkpoints/*/*")} == before
    assert (folder / "report.html").stat().st_mtime_ns == page


def test_a_run_that_was_killed_before_it_was_measured_is_measured_later(home: Path) -> None:
    result = home / "runs" / "run" / "result.json"
    before = result.read_text()
    result.unlink()
    pipeline.train_model(parameters())
    assert result.read_text() == before


def test_training_beside_the_checkpoints_of_a_run_is_refused(home: Path) -> None:
    with pytest.raises(FileExistsError, match=r"runs/run has checkpoints, and resume = false"):
        pipeline.train_model(parameters(resume=False))
    pipeline.train_model(parameters(run_name="anew", resume=False, steps=2, decay_steps=0))
    assert (home / "runs" / "anew" / "result.json").exists()


def test_a_run_that_is_stopped_before_its_first_line_returns() -> None:
    import signal

    with pytest.MonkeyPatch.context() as patch:  # of parameters' progress = "none"
        patch.setattr(Progress, "step", lambda *_: signal.raise_signal(signal.SIGINT))
        folder = pipeline.train_model(parameters(run_name="at_once", log_every=4, picture_every=4, checkpoint_every=4))
    assert [path.name for path in checkpoints.list_complete(folder / "checkpoints")] == ["step_000001"]
    assert not (folder / "report.html").exists()


def test_a_warmup_longer_than_what_comes_before_the_adversary_is_refused() -> None:
    with pytest.raises(ParamsError, match="discriminator_warmup = 9 must not exceed adversary_from = 0"):
        parameters(discriminator_warmup=9)


def test_a_run_that_was_stopped_counts_all_its_seconds(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(Exception):
        pass

    save = checkpoints.save_training

    def once(*arguments: Any) -> Path:
        save(*arguments)
        raise Enough

    monkeypatch.setattr(checkpoints, "save_training", once)
    with pytest.raises(Enough):
        pipeline.train_model(parameters(run_name="stopped"))
    spent = checkpoints.load_state(home / "runs/stopped/checkpoints/step_000002")["seconds"]
    monkeypatch.setattr(checkpoints, "save_training", save)
    pipeline.train_model(parameters(run_name="stopped"))
    assert journal(home, "stopped")[-1]["seconds"] > spent > 0
    without = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in journal(home, n)] for n in ("stopped", "run")
    ]
    assert without[0] == without[1]


def test_another_recipe_under_the_same_name_is_refused(tmp_path: Path) -> None:
    """The file's content counts, not its name."""
    mine = tmp_path / "mine.json"
    recipe = {"name": "mine", "description": "noise", "source": "here", "order": "given", "operations": []}
    noise = {"op": "gaussian_noise", "sigma": [5, 10]}
    mine.write_text(json.dumps({**recipe, "operations": [noise]}))
    p = parameters(run_name="recipe", recipe=str(mine), steps=2, decay_steps=0)
    pipeline.train_model(p)
    mine.write_text(json.dumps({**recipe, "operations": [{**noise, "sigma": [5, 20]}]}))
    with pytest.raises(
        ValueError, match=r"step_000002 belongs to another run \(recipe\.operations.*10.* saved, .*20.* requested\)"
    ):
        pipeline.train_model(p)


def test_other_images_under_the_same_name_are_refused_and_counted(home: Path) -> None:
    path = home / "data" / "tiny" / "manifest.json"
    text = path.read_text()
    manifest = json.loads(text)
    trained = [record for record in manifest["files"] if record["split"] == "train"]
    trained[0]["sha256"] = "0" * 64
    manifest["files"].remove(trained[1])
    try:
        path.write_text(json.dumps(manifest))
        with pytest.raises(
            FileExistsError, match=r"runs/run holds a run on other images: 2 differ \(.*'train 00000000' requested"
        ):
            pipeline.train_model(parameters())
    finally:
        path.write_text(text)
    assert json.loads((home / "runs" / "run" / "manifest.json").read_text()) == json.loads(text)


# going on from other weights


def first_picture(p: Training) -> torch.Tensor:
    networks = first_networks.initial_networks(p, torch.device("cpu"))
    assert networks is not None
    return networks[0].eval()(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


def test_a_run_goes_on_from_a_file_with_a_fresh_discriminator(home: Path) -> None:
    file = checkpoints.latest_generator(home / "runs" / "run")
    p = parameters(run_name="tuned", init_from=str(file), width=8, adversary_from=2, discriminator_warmup=2)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    loaded, _ = checkpoints.load_generator(file)
    torch.testing.assert_close(first_picture(p), loaded(image))  # its width counts, not ours
    generator, discriminator = first_networks.initial_networks(p, torch.device("cpu"))
    fresh = loop.build(p, torch.device("cpu"), generator.config)[1]
    assert all(torch.equal(a, b) for a, b in zip(discriminator.parameters(), fresh.parameters(), strict=True))
    folder = pipeline.train_model(p)
    assert checkpoints.load_generator(checkpoints.latest_generator(folder))[0].config == generator.config
    assert "discriminator" in journal(home, "tuned")[0]


def test_a_checkpoint_s_folder_gives_its_discriminator_too(home: Path) -> None:
    folder = home / "runs/run/checkpoints/step_000004"
    _, discriminator = first_networks.initial_networks(parameters(init_from=str(folder)), torch.device("cpu"))
    kept = checkpoints.load_state(folder)["discriminator"]
    assert all(torch.equal(value, kept[name]) for name, value in discriminator.state_dict().items())
    with pytest.raises(ParamsError, match=r"its discriminator is not of .*discriminator_width = 8; name its generator"):
        first_networks.initial_networks(parameters(init_from=str(folder), discriminator_width=8), torch.device("cpu"))


@pytest.mark.parametrize("variant", ["spade", "lipspade", "hifacegan"])
def test_a_published_network_is_fine_tuned(tmp_path: Path, variant: str) -> None:
    """Batch statistics, spectral norm and all; at 64 pixels, for it halves five times."""
    torch.save(published.tensors(variant, 4), tmp_path / "latest_net_G.pth")
    p = parameters(
        run_name=variant, init_from=str(tmp_path / "latest_net_G.pth"), image_size=64, steps=2, decay_steps=0
    )
    with pytest.warns(UserWarning, match="images are enlarged"):
        folder = pipeline.train_model(p)
    tuned, _ = checkpoints.load_generator(checkpoints.latest_generator(folder))
    assert tuned.config.published and tuned.config.norm == "batch"
    start = first_networks.initial_networks(p, torch.device("cpu"))[0]
    assert not torch.equal(next(tuned.parameters()), next(start.parameters()))


def test_other_weights_to_begin_from_are_another_run(home: Path, tmp_path: Path) -> None:
    first, second = (sorted((home / "runs/run/checkpoints").glob("*/ema.safetensors"))[n] for n in (0, 1))
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(first.read_bytes())
    p = parameters(run_name="moved", init_from=str(mine), steps=2, decay_steps=0)
    pipeline.train_model(p)
    mine.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match=r"belongs to another run \(init_from: '.*' saved, '.*' requested\)"):
        pipeline.train_model(p)


def test_weights_that_are_not_there_are_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        pipeline.train_model(parameters(run_name="none", init_from="nowhere.safetensors"))


def journal(home: Path, name: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (home / "runs" / name / "metrics.jsonl").read_text().splitlines()]
