"""Any network and any objective, from parameters to a restored face: trained, killed, resumed, judged, exported."""

import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import hifacegan_lib as hf
from hifacegan_lib import cli, pipeline, sweeps
from hifacegan_lib.data.shards import write_shards
from hifacegan_lib.evaluation import doctor, methods
from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.params import DataPreparation, Evaluation, ParamsError, PhotoRestoration, Training
from hifacegan_lib.training import loop
from hifacegan_lib.utils.images import load_image, save_image

FACES = {"data_dir": "data/tiny", "synthetic_size": 32, "train_size": 12, "valid_size": 8}
NAFNET = '{"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]}'
KINDS: dict[str, dict[str, Any]] = {
    "nafnet": {"network": "spandrel:NAFNet", "network_options": NAFNET},
    "module": {"network": "standins:Smoother", "network_options": '{"width": 5}', "objective": "pixels"},
    "shards": {"objective": "pixels", "data_dir": "data/tiny/shards-16-32"},
    "flow": {"objective": "flow", "flow_mean": "runs/mean/checkpoints/step_000012", "flow_steps": 2},
}
SHORT = {"steps": 4, "checkpoint_every": 4, "picture_every": 4}


def parameters(**changes: Any) -> Training:
    values: dict[str, Any] = {"data_dir": "data/tiny", "image_size": 16, "width": 4, "hidden": 4, "batch_size": 4}
    values |= {"suppression": "conv", "stages": 1}
    values |= {"discriminator_width": 4, "steps": 12, "decay_steps": 2, "adversary_from": 0, "progress": "none"}
    values |= {"log_every": 1, "picture_every": 12, "checkpoint_every": 2, "device": "cpu"}
    return Training.checked({**values, **changes}, "test")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder, threads = tmp_path_factory.mktemp("home"), torch.get_num_threads()
    torch.set_num_threads(1)  # sums of several threads have other bits
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFACEGAN_HOME", str(folder))
        faces = pipeline.prepare_data(DataPreparation.checked(FACES, "test"))
        write_shards(faces, folder / KINDS["shards"]["data_dir"], 16, 0.9, side=32, shard=10_000, progress=False)
        pipeline.train_model(parameters(run_name="mean", objective="pixels", checkpoint_every=12))
        for name, kind in KINDS.items():
            pipeline.train_model(parameters(run_name=name, **kind))
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIFACEGAN_HOME", str(home))


def newest(home: Path, name: str) -> Path:
    return checkpoints.latest_generator(home / "runs" / name)


def log(home: Path, name: str) -> list[dict[str, float]]:
    lines = (home / "runs" / name / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def train_elsewhere(values: dict[str, Any], environment: dict[str, str]) -> None:
    os.environ.update(environment)  # the fork server may be older than this test's home
    torch.set_num_threads(1)
    pipeline.train_model(Training.checked(values, "test"))


@pytest.mark.parametrize("name", KINDS)
def test_a_killed_run_ends_with_the_bits_of_the_undisturbed_one(name: str, home: Path) -> None:
    p = parameters(run_name=f"{name}-killed", **KINDS[name])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning_fabric", "hifacegan_lib.pipeline"])
    process = context.Process(target=train_elsewhere, args=(p.model_dump(), dict(os.environ)))
    process.start()
    folder = home / "runs" / p.run_name
    while not checkpoints.list_complete(folder / "checkpoints"):
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    process.join()
    assert process.exitcode == -signal.SIGKILL and newest(home, p.run_name).parent.name != "step_000012"
    pipeline.train_model(p)
    for file in ("generator.safetensors", "ema.safetensors"):
        one, two = ((newest(home, run).parent / file) for run in (name, p.run_name))
        weights = [checkpoints.read(path)[1] for path in (one, two)]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    assert log(home, name) == log(home, p.run_name)


def test_each_objective_has_its_losses(home: Path) -> None:
    assert {"adversarial", "discriminator", "d_margin"} <= log(home, "nafnet")[0].keys()
    assert not {"flow", "adversarial", "discriminator"} & log(home, "mean")[0].keys()
    line = log(home, "flow")[0]
    assert line["flow"] > 0 and line["l1"] > 0  # L1 is shown, with weight 0
    assert not {"adversarial", "discriminator"} & line.keys()


def test_pixels_is_adversarial_without_the_weights_of_the_discriminator(home: Path) -> None:
    off = {"adversarial_weight": 0.0, "feature_matching_weight": 0.0}
    files = []
    for changes in ({"objective": "pixels"}, {**off, "overwrite": True}):
        pipeline.train_model(parameters(run_name="same", **SHORT, **changes))
        files.append(newest(home, "same").read_bytes())
    assert files[0] == files[1]


def test_the_mean_of_a_flow_stays_as_it_was(home: Path) -> None:
    made, info = checkpoints.load_generator(newest(home, "flow"))
    mean, _ = checkpoints.load_generator(newest(home, "mean"))
    assert info["step"] == 12 and (made.sigma, made.steps) == (0.1, 2)
    for name, value in mean.state_dict().items():
        assert torch.equal(value, made.mean.state_dict()[name]), name
    first = Flow(mean, mean)
    assert not torch.equal(made.enter.weight, first.enter.weight)


def test_other_steps_of_a_flow_for_evaluation_and_photographs(home: Path, tmp_path: Path) -> None:
    file = newest(home, "flow")
    faces = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    drawn = {}
    for steps in (1, 2, 6):
        made, _ = pipeline.find_model(Evaluation.checked({"checkpoint": str(file), "flow_steps": steps}, "test"))
        with torch.no_grad():
            drawn[steps] = made(faces)
        model = hf.load_model(file, steps=steps)
        assert model.name == f"ema.safetensors ({steps} steps)"
        assert f"a flow in {steps} steps from HiFaceGAN" in model.card.architecture
        np.testing.assert_allclose(model.network(faces.numpy()), drawn[steps].numpy(), atol=1e-5)
        photos = pipeline.find_restorer(PhotoRestoration.checked({"weights": str(file), "flow_steps": steps}, "test"))
        assert photos.card == model.card
    assert not torch.equal(drawn[1], drawn[6])
    assert "6 steps" in methods.open_method(methods.parse(f"{file}@steps=6")).card["architecture"]
    assert torch.equal(drawn[2], checkpoints.load_generator(file)[0](faces))
    save_image(tmp_path / "in" / "face.png", np.full((16, 16, 3), 100, np.uint8))
    command = [
        "restore",
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        "--aligned",
        "--weights",
        str(file),
        "--steps",
        "2",
    ]
    assert cli.main(command) == 0
    assert load_image(tmp_path / "out" / "face.png").shape == (16, 16, 3)
    assert "(2 steps)" in (tmp_path / "out" / "restored.jsonl").read_text()


def test_steps_are_of_flows_alone(home: Path) -> None:
    with pytest.raises(ValueError, match=r"steps = 2: expected .* none for another network \(ema.safetensors\)"):
        hf.load_model(newest(home, "nafnet"), steps=2)
    with pytest.raises(ValueError, match="steps = 0: expected 1 or more for a flow"):
        hf.load_model(newest(home, "flow"), steps=0)
    with pytest.raises(ParamsError, match=r"flow_steps = 2: ema.safetensors is no flow; expected 0"):
        pipeline.find_model(Evaluation.checked({"checkpoint": str(newest(home, "mean")), "flow_steps": 2}, "test"))


@pytest.mark.parametrize("name", ("nafnet", "flow"))
def test_other_programs_draw_what_the_checkpoint_draws(
    name: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = newest(home, name), tmp_path / "n.onnx"
    assert cli.main(["export", str(file), str(out)]) != 0 and not out.exists()
    assert re.search(r"(for any size|of one size): .*--fixed, fixed=True( \(\w.*\))?$", capsys.readouterr().err)
    assert cli.main(["export", str(file), str(out), "--size", "24", "--fixed"]) == 0
    faces = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = checkpoints.load_generator(file)[0](faces).numpy()
    drawn = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"]).run(None, {"image": faces.numpy()})[0]
    np.testing.assert_allclose(drawn, expected, atol=1e-4)
    assert hf.load_model(out).card.architecture == hf.load_model(file).card.architecture


class Own(nn.Module):
    def __init__(self, highest: float = 1.0) -> None:
        super().__init__()
        self.layer, self.highest = nn.Conv2d(3, 3, 3, padding=1), highest

    def forward(self, image: Tensor) -> Tensor:
        return self.highest * (image + 0.1 * self.layer(image)).clamp(0, 1)


class Other(Own):
    """Another class of the same shape."""


def test_a_network_of_the_reader_s_own_learns_a_flow(home: Path) -> None:
    p = parameters(run_name="own", **SHORT, **KINDS["flow"])
    file = checkpoints.latest_generator(pipeline.train_model(p, generator=Own()))
    assert json.loads((home / "runs" / "own" / "params.json").read_text())["network"] == "Own"
    with pytest.raises(FileExistsError, match=r"network.*Own"):
        pipeline.train_model(p, generator=Other())
    model = hf.load_model(file, network=Own())
    assert "Own, a flow in 2 steps" in model.card.architecture
    assert model.restore([np.full((20, 18, 3), 100, np.uint8)])[0].shape == (20, 18, 3)
    assert json.loads((home / "runs" / "own" / "result.json").read_text())["faces"] == 8


def test_a_network_of_a_module_is_loaded_by_its_name(home: Path, tmp_path: Path) -> None:
    model = hf.load_model(newest(home, "module"))
    assert cli.main(["export", str(newest(home, "module")), str(tmp_path / "n.onnx")]) == 0
    assert model.card.architecture == "standins:Smoother"
    assert model.restore([np.full((20, 18, 3), 100, np.uint8)])[0].shape == (20, 18, 3)
    page = (home / "runs" / "module" / "report.html").read_text()
    assert "standins:Smoother" in page


def test_what_is_no_network_for_faces_is_refused_before_the_first_step(home: Path) -> None:
    with pytest.raises(ValueError, match=r"network Own: it draws .* expected \[0, 1\]"):
        pipeline.train_model(parameters(run_name="bad"), generator=Own(2.0))
    with pytest.raises(ParamsError, match="spandrel has no architecture 'Nafnet'"):
        pipeline.train_model(parameters(run_name="bad1", network="spandrel:Nafnet"))
    with pytest.raises(ParamsError, match=r"flow_mean = 'compact-25': .* does not exist; .*: compact-256, "):
        pipeline.train_model(parameters(run_name="bad1", objective="flow", flow_mean="compact-25"))
    assert not (home / "runs" / "bad1" / "params.json").exists()  # the corrected command begins
    with pytest.raises(TypeError, match=r"generator: expected an nn.Module such as MyNetwork\(\), got <class"):
        pipeline.train_model(parameters(run_name="bad1"), generator=Own)  # type: ignore[arg-type]
    with pytest.raises(ParamsError, match="network = 'spandrel:NAFNet': a generator is given too; expected hifacegan"):
        pipeline.train_model(parameters(run_name="bad1", **KINDS["nafnet"]), generator=Own())
    with pytest.raises(ParamsError, match="a flow; expected a network that draws a face in one pass"):
        pipeline.train_model(parameters(run_name="bad2", init_from=str(newest(home, "flow"))))
    with pytest.raises(ValueError, match="doctor examines HiFaceGAN alone"):
        doctor.command(newest(home, "nafnet"), None, None, None, 1, None)


def test_training_goes_on_from_a_network_of_spandrel(home: Path) -> None:
    file = newest(home, "nafnet")
    folder = pipeline.train_model(parameters(run_name="tuned", init_from=str(file), **SHORT, lr_generator=1e-9))
    tuned, start = (checkpoints.load_generator(path)[0] for path in (checkpoints.latest_generator(folder), file))
    for a, b in zip(tuned.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_another_mean_is_another_run(home: Path) -> None:
    given = parameters(run_name="flow", **KINDS["flow"])
    mean = home / given.flow_mean / "ema.safetensors"
    before = mean.read_bytes()
    try:
        checkpoints.save_generator(mean, checkpoints.load_generator(newest(home, "nafnet"))[0])
        with pytest.raises(ValueError, match=r"belongs to another run \(flow_mean: '\w+' saved, '\w+' requested\)"):
            pipeline.train_model(given)
    finally:
        mean.write_bytes(before)


def test_a_run_that_is_older_than_a_parameter_goes_on() -> None:
    p = parameters(run_name="older", **SHORT)
    folder = pipeline.train_model(p)
    (folder / "result.json").unlink()
    file = folder / "checkpoints" / "step_000004" / "state.pt"
    state = torch.load(file, weights_only=True)
    identity = json.loads(state["identity"])
    for name in ("network", "objective", "flow_mean"):
        del identity["parameters"][name]
    torch.save({**state, "identity": json.dumps(identity)}, file)
    pipeline.train_model(p)
    assert (folder / "result.json").exists()
    identity["parameters"]["network_options"] = "{}"
    torch.save({**state, "identity": json.dumps(identity)}, file)
    with pytest.raises(ValueError, match=r"belongs to another run \(parameters.network_options: '\{\}' saved, '' req"):
        pipeline.train_model(p)


def test_one_sweep_compares_networks_and_objectives() -> None:
    given = ["network=hifacegan,spandrel:NAFNet", f"network_options={NAFNET}", "objective=pixels,adversarial"]
    sweep, cells = sweeps.plan("04_training", "demo", sweeps.read_grid(given), "both")
    assert len(cells) == 4 and json.loads(sweep.fixed["network_options"]) == json.loads(NAFNET)
    built = [
        loop.build(parameters(**sweep.cells[cell], network_options=NAFNET), torch.device("cpu"))[0] for cell in cells
    ]
    assert [type(network).__name__ for network in built] == ["Generator"] * 2 + ["SpandrelModel"] * 2


def test_a_command_takes_options_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["params", "demo", "04_training", "-p", "seed", "3", "-p", "network_options", NAFNET, "-p", "width", "8"]
    assert cli.main(line) == 0
    said = capsys.readouterr().out
    assert f"network_options: '{NAFNET}'" in said and "seed: 3 " in said and "width: 8 " in said


@pytest.mark.parametrize("text", ["{", "[1]", "width"])
def test_options_that_are_no_json_object_are_refused(text: str) -> None:
    with pytest.raises(ParamsError, match=r"network_options = .*: expected a JSON object such as \{\"width\": 24\}"):
        parameters(network_options=text)
    assert parameters(network_options={"width": 4}).network_options == '{"width": 4}'  # as YAML reads it


def test_a_name_of_no_network_is_refused() -> None:
    with pytest.raises(ParamsError, match="network = 'nafnet': expected hifacegan, spandrel:ARCHITECTURE or MODULE:CL"):
        parameters(network="nafnet")


def test_a_flow_needs_a_mean() -> None:
    with pytest.raises(
        ParamsError, match="flow_mean must name shipped weights or a checkpoint when objective is 'flow'"
    ):
        parameters(objective="flow")
    with pytest.raises(ParamsError, match=r"no loss: one of l1_weight, .* must be above 0"):
        parameters(objective="pixels", l1_weight=0.0)
