"""The state of a run: what it is built from, what a checkpoint holds, and what is refused."""

import copy
from pathlib import Path
from typing import Any

import golden
import pytest
import torch

from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import GeneratorConfig
from hifacegan_lib.params import Training
from hifacegan_lib.training import distributed, loop
from hifacegan_lib.training.state import Run, build, restore, save

SETTINGS: dict[str, Any] = {
    "width": 4,
    "stages": 1,
    "hidden": 5,
    "patch": 2,
    "discriminator_width": 5,
    "discriminator_detail": 4.0,
    "batch_size": 2,
    "steps": 4,
    "decay_steps": 0,
    "adversary_from": 0,
    "beta1": 0.4,
    "beta2": 0.8,
    "keep_checkpoints": 2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def fabric() -> Any:
    return distributed.launch("cpu")


def made(fabric: Any, **changes: Any) -> Run:
    p = Training.checked({**SETTINGS, **changes}, "test")
    return Run(p, fabric, build(p, torch.device("cpu")), {})


def step(run: Run, number: int) -> None:
    clean = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(number))
    loop.train_step(run, number, {"clean": clean, "degraded": clean * 0.8, "key": ["a", "b"]})


def test_the_recorded_networks_of_a_seed() -> None:
    before = torch.get_rng_state()
    for seed in (0, 1):
        networks = build(Training.checked({**SETTINGS, "seed": seed}, "test"), torch.device("cpu"))
        for name, network in zip(("generator", "discriminator"), networks, strict=True):
            weights = torch.cat([weight.flatten() for weight in network.parameters()])
            golden.check(f"training: {name} of seed {seed}", weights)
    assert torch.equal(before, torch.get_rng_state())


def test_the_parameters_reach_the_networks_and_the_optimizers(fabric: Any) -> None:
    run = made(fabric, activation_checkpointing=True, lr_generator=0.01, lr_discriminator=0.02)
    c = run.generator.config
    assert (c.width, c.stages, c.hidden, c.patch) == (4, 1, 5, 2) and run.generator.checkpointing
    assert run.discriminator.detail == 4 and run.discriminator.scales[0].blocks[0][0].out_channels == 5
    for optimizer, rate in ((run.g_optimizer, 0.01), (run.d_optimizer, 0.02)):
        assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (rate, (0.4, 0.8))
    assert not run.average.training and not any(weight.requires_grad for weight in run.average.parameters())
    assert run.generator.training and not run.scaler.is_enabled() and not made(fabric).generator.checkpointing
    other = build(run.p, torch.device("cpu"), GeneratorConfig(width=2, stages=2))[0]
    assert other.config == GeneratorConfig(width=2, stages=2)


def test_a_checkpoint_restores_every_part(fabric: Any, tmp_path: Path) -> None:
    run, other = made(fabric), made(fabric, seed=5)
    step(run, 0), step(run, 1)
    assert restore(other, tmp_path, {}) == (0, 0.0)
    save(run, tmp_path, 2, 12.5, {"a": 1})
    with torch.random.fork_rng(devices=[]):
        assert restore(other, tmp_path, {"a": 1}) == (2, 12.5)
        for r in (run, other):
            step(r, 2)
        for name in ("generator", "discriminator", "average"):
            for a, b in zip(getattr(run, name).parameters(), getattr(other, name).parameters(), strict=True):
                assert torch.equal(a, b)


def test_the_random_numbers_of_layers_are_restored(fabric: Any, tmp_path: Path) -> None:
    run = made(fabric)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        save(run, tmp_path, 1, 0.0, {})
        expected = torch.rand(3)
        torch.manual_seed(8)
        restore(run, tmp_path, {})
        assert torch.equal(torch.rand(3), expected)


def test_only_some_checkpoints_are_kept_and_each_says_what_it_is(fabric: Any, tmp_path: Path) -> None:
    run = made(fabric, run_name="mine", recipe="report", image_size=32)
    for done in (1, 2, 3):
        save(run, tmp_path, done, 0.0, {})
    found = checkpoints.list_complete(tmp_path)
    assert [path.name for path in found] == ["step_000002", "step_000003"]
    info = checkpoints.load_generator(found[-1] / "ema.safetensors")[1]
    assert info == {"image_size": 32, "recipe": "report", "run_name": "mine", "step": 3}


def test_another_run_and_another_version_are_refused(fabric: Any, tmp_path: Path) -> None:
    run = made(fabric)
    save(run, tmp_path, 1, 0.0, {"a": 1})
    with pytest.raises(ValueError, match=r"step_000001 belongs to another run \(a: 1 saved, 2 requested\)"):
        restore(run, tmp_path, {"a": 2})
    file = tmp_path / "step_000001" / "state.pt"
    state = torch.load(file, weights_only=True)
    torch.save({name: part for name, part in state.items() if name not in ("watch", "seconds")}, file)
    with pytest.raises(ValueError, match="another version of the workbench; missing: seconds, watch"):
        restore(run, tmp_path, {"a": 1})


@pytest.mark.parametrize("given", [{}, {"flow_clip": 0.0}, {"flow_clip": 0.5, "gradient_clip": 9.0}])
def test_a_flow_is_clipped_by_default(fabric: Any, given: dict[str, float]) -> None:
    flow = {"objective": "flow", "flow_mean": "any", "skip": False}  # without skip, times near 1 have large gradients
    p = Training.checked({**SETTINGS, **flow, **given}, "test")
    clean, most = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), 0.0
    for seed in range(4):
        network, discriminator = build(p, torch.device("cpu"))
        run = Run(p, fabric, (Flow(copy.deepcopy(network), network), discriminator), {})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _, norms = loop.train_step(run, 0, {"clean": clean, "degraded": 0.8 * clean, "key": ["a", "b"]})
        moments = [state["exp_avg"] for state in run.g_optimizer.state.values()]  # (1 - beta1) times the gradient
        used, norm = torch.nn.utils.get_total_norm(moments).item() / (1 - p.beta1), max(norms.values()).item()
        assert used == pytest.approx(min(norm, p.flow_clip or norm), rel=1e-4)
        most = max(most, norm)
    assert most > 2  # or nothing was clipped
