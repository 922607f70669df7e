import copy
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import parametrize

from hifacegan_lib import checkpoints, losses, training
from hifacegan_lib.params import ParamsError, Training

TINY = Training.checked(
    {
        "width": 4,
        "stages": 1,
        "discriminator_width": 4,
        "batch_size": 2,
        "steps": 6,
        "decay_steps": 3,
        "adversary_from": 0,
        "log_every": 2,
        "picture_every": 3,
        "checkpoint_every": 2,
        "device": "cpu",
    },
    "test",
)


def pair(step: int) -> dict:
    clean = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(step))
    return {"clean": clean, "degraded": (clean + 0.1).clamp(0, 1), "key": ["a", "b"]}


def batches(start: int) -> Iterator[dict]:
    step = start
    while True:
        yield pair(step)
        step += 1


def run(folder: Path, **changes: object) -> Path:
    return training.train(TINY.model_copy(update=changes), batches, pair(999), folder)


def weights(folder: Path) -> dict[str, bytes]:
    return {name: (folder / f"{name}.safetensors").read_bytes() for name in ("generator", "ema")}


def test_a_run_leaves_numbers_pictures_and_checkpoints(tmp_path: Path) -> None:
    last = run(tmp_path)
    assert last.name == "step_000006"
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4, 6]
    assert set(lines[0]) == {"step", "l1", "adversarial", "feature_matching", "discriminator", "psnr", "lr"}
    assert [p.name for p in sorted((tmp_path / "figures").iterdir())] == ["step_000003.png", "step_000006.png"]
    assert list((tmp_path / "tensorboard").iterdir())
    assert checkpoints.load_generator(last / "ema.safetensors")[1]["image_size"] == TINY.image_size


def test_the_same_parameters_give_the_same_bits(tmp_path: Path) -> None:
    assert weights(run(tmp_path / "one")) == weights(run(tmp_path / "two"))
    assert weights(run(tmp_path / "one")) != weights(run(tmp_path / "three", seed=1))


def test_training_leaves_the_global_generator_of_random_numbers_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


class PowerCut(Exception):
    pass


def test_interrupted_and_resumed_is_the_uninterrupted(tmp_path: Path) -> None:
    def until_the_cut(start: int) -> Iterator[dict]:
        for step in range(start, 5):
            yield pair(step)
        raise PowerCut

    with pytest.raises(PowerCut):
        training.train(TINY, until_the_cut, pair(999), tmp_path / "cut")
    assert [p.name for p in checkpoints.steps(tmp_path / "cut" / "checkpoints")] == ["step_000002", "step_000004"]
    assert weights(run(tmp_path / "cut")) == weights(run(tmp_path / "whole"))
    assert (tmp_path / "cut" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()


def test_killed_and_resumed_is_the_uninterrupted(tmp_path: Path) -> None:
    """kill -9 somewhere between two checkpoints, in another process."""
    script = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    import test_training
    from pathlib import Path
    test_training.run(Path({str(tmp_path / "killed")!r}), steps=40, checkpoint_every=5, decay_steps=20)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.DEVNULL)
    patience = time.monotonic() + 120
    while len(checkpoints.steps(tmp_path / "killed" / "checkpoints")) < 2 and time.monotonic() < patience:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    options = {"steps": 40, "checkpoint_every": 5, "decay_steps": 20}
    assert weights(run(tmp_path / "killed", **options)) == weights(run(tmp_path / "whole", **options))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    stamp = (first / "state.pt").stat().st_mtime_ns
    assert run(tmp_path) == first
    assert (first / "state.pt").stat().st_mtime_ns == stamp


def test_training_helps(tmp_path: Path) -> None:
    run(tmp_path, steps=60, adversarial_weight=0.0, feature_matching_weight=0.0, lr_generator=3e-3)
    psnr = [json.loads(line)["psnr"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert psnr[-1] > psnr[0] + 3


def test_without_an_adversary_no_discriminator_is_trained(tmp_path: Path) -> None:
    run(tmp_path, adversarial_weight=0.0, feature_matching_weight=0.0)
    assert "discriminator" not in json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])


def test_bfloat16_trains(tmp_path: Path) -> None:
    run(tmp_path, precision="bfloat16", steps=2, decay_steps=0)


def test_float16_on_a_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="needs a GPU; allowed on the CPU: float32, bfloat16"):
        run(tmp_path, precision="float16")


def test_a_device_that_is_not_there_is_refused() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(ParamsError, match="device = 'cuda': not available here"):
            training.pick_device("cuda")
    assert training.pick_device("cpu") == torch.device("cpu")


def test_a_loss_that_is_not_finite_stops_with_step_and_keys(tmp_path: Path) -> None:
    def broken(start: int) -> Iterator[dict]:
        for step in range(start, 9):
            batch = pair(step)
            yield {**batch, "clean": batch["clean"] * float("nan")} if step == 3 else batch

    with pytest.raises(FloatingPointError, match=r"step 4: l1.* not finite on \['a', 'b'\]"):
        training.train(TINY, broken, pair(999), tmp_path)
    assert [p.name for p in checkpoints.steps(tmp_path / "checkpoints")] == ["step_000002"]


def test_the_rate_is_constant_then_a_straight_line() -> None:
    factors = [training.decay(step, 10, 4) for step in range(10)]
    assert factors[:6] == [1.0] * 6
    assert factors[6:] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert training.decay(9, 10, 0) == 1.0


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    run(tmp_path, gradient_clip=1e-3, steps=2, decay_steps=0)


def test_the_average_follows_the_weights() -> None:
    average, current = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(average.weight)
    torch.nn.init.ones_(current.weight)
    training.update_average(average, current, 0.75)
    assert average.weight.item() == pytest.approx(0.25)


def test_a_step_is_the_textbook_s_with_one_pass_of_the_generator(tmp_path: Path) -> None:
    """Two passes, one for each side's loss, give the same weights; the loop needs one."""
    p = TINY.model_copy(update={"steps": 1, "decay_steps": 0, "ema_decay": 0.0})
    ours, d_ours = training.build(p, torch.device("cpu"))
    passes = []
    ours.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    generator, discriminator = (copy.deepcopy(network) for network in (ours, d_ours))
    generator._forward_hooks.clear()
    training.train(p, batches, pair(999), tmp_path, (ours, d_ours))
    assert passes.count(True) == 1  # the others are the strip's pictures

    batch = pair(0)
    optimizers = [
        torch.optim.Adam(network.parameters(), rate, (p.beta1, p.beta2))
        for network, rate in ((generator.train(), p.lr_generator), (discriminator, p.lr_discriminator))
    ]
    generator.step_spectral_norm()
    with parametrize.cached():
        restored = generator(batch["degraded"])
        fake, real = discriminator(batch["degraded"], restored), discriminator(batch["degraded"], batch["clean"])
        total = (
            p.l1_weight * F.l1_loss(restored, batch["clean"])
            + p.adversarial_weight * losses.lsgan_generator(fake)
            + p.feature_matching_weight * losses.feature_matching(fake, real)
        )
        total.backward(inputs=list(generator.parameters()), retain_graph=True)
        fake = discriminator(batch["degraded"], generator(batch["degraded"]).detach())
        losses.lsgan_discriminator(fake, real).backward(inputs=list(discriminator.parameters()))
    for optimizer in optimizers:
        optimizer.step()
    for mine, textbook in ((ours, generator), (d_ours, discriminator)):
        for a, b in zip(mine.parameters(), textbook.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_activation_checkpointing_changes_no_bit(tmp_path: Path) -> None:
    kept, recomputed = (run(tmp_path / str(on), activation_checkpointing=on) for on in (False, True))
    assert weights(kept) == weights(recomputed)
