import contextlib
import copy
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from standins import real
from torch.nn.utils import parametrize

from hifacegan_lib.models import checkpoints
from hifacegan_lib.params import ParamsError, Training
from hifacegan_lib.reports import network_plots
from hifacegan_lib.training import loop, losses
from hifacegan_lib.utils.machine import find_device

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
    return loop.train(TINY.model_copy(update=changes), batches, pair(999), folder)


def lines(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """A run's journal without the time that it took."""
    found = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def weights(folder: Path) -> dict[str, bytes]:
    return {name: (folder / f"{name}.safetensors").read_bytes() for name in ("generator", "ema")}


def test_a_run_leaves_numbers_pictures_and_checkpoints(tmp_path: Path) -> None:
    last = run(tmp_path)
    assert last.name == "step_000006"
    assert [line["step"] for line in lines(tmp_path)] == [2, 3, 4, 6]
    assert set(lines(tmp_path)[0]) == {
        *("step", "l1", "adversarial", "feature_matching", "discriminator", "psnr", "lr"),
        *("cast_r", "cast_g", "cast_b", "droplets", "d_margin", "d_accuracy"),
    }
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


def test_without_resume_a_run_starts_at_step_0_again(tmp_path: Path) -> None:
    begun: list[int] = []

    def counted(start: int) -> Iterator[dict]:
        begun.append(start)
        return batches(start)

    for resume in (True, True, False):
        loop.train(TINY.model_copy(update={"resume": resume}), counted, pair(999), tmp_path)
    assert begun == [0, 6, 0]


def test_interrupted_and_resumed_is_the_uninterrupted(tmp_path: Path) -> None:
    def until_the_cut(start: int) -> Iterator[dict]:
        for step in range(start, 5):
            yield pair(step)
        raise PowerCut

    with pytest.raises(PowerCut):
        loop.train(TINY, until_the_cut, pair(999), tmp_path / "cut")
    assert [p.name for p in checkpoints.list_complete(tmp_path / "cut" / "checkpoints")] == [
        "step_000002",
        "step_000004",
    ]
    assert weights(run(tmp_path / "cut")) == weights(run(tmp_path / "whole"))
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


LONG = {"steps": 40, "checkpoint_every": 5, "decay_steps": 20, "r1_weight": 0.1, "r1_every": 4, "accumulate": 2}


def in_another_process(folder: Path, reached: Any, changes: dict[str, Any]) -> None:
    """Train there, and say each step before it is taken."""

    def told(start: int) -> Iterator[dict]:
        for step, batch in enumerate(batches(start), start):
            reached.send(step)
            yield batch

    torch.set_num_threads(1)
    loop.train(TINY.model_copy(update=changes), told, pair(999), folder)


def start_elsewhere(folder: Path, **changes: Any) -> tuple[Any, Any]:
    """A process that trains, and the pipe on which it tells its steps."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning_fabric", "hifacegan_lib.training.loop"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=in_another_process, args=(folder, there, changes))
    process.start()
    there.close()
    return process, here


def wait_for(step: int, pipe: Any) -> int:
    """Until the process is at least there."""
    reached = -1
    while reached < step:
        assert pipe.poll(120), "no step in two minutes"
        reached = pipe.recv()
    return reached


def test_killed_five_times_at_random_steps_ends_with_the_bits_of_the_undisturbed_run(tmp_path: Path) -> None:
    draw, done = np.random.default_rng(5), 0
    for kills in range(5):
        process, pipe = start_elsewhere(tmp_path / "killed", **LONG)
        wait_for(int(draw.integers(done, min(done + 14, 37 + kills // 4))), pipe)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        found = checkpoints.list_complete(tmp_path / "killed" / "checkpoints")
        done = int(found[-1].name.removeprefix("step_")) if found else 0
    assert 0 < done < LONG["steps"], "killed too early or too late to show anything"
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        last, whole = run(tmp_path / "killed", **LONG), run(tmp_path / "whole", **LONG)
    finally:
        torch.set_num_threads(torch_threads)
    assert weights(last) == weights(whole)
    mine, undisturbed = checkpoints.load_state(last), checkpoints.load_state(whole)
    mine.pop("seconds"), undisturbed.pop("seconds")
    same(mine, undisturbed)
    for name in ("metrics.jsonl", "warnings.jsonl"):
        assert (tmp_path / "killed" / name).exists() == (tmp_path / "whole" / name).exists()
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")


def same(a: Any, b: Any) -> None:
    """Equal to the bit: discriminator, optimizers, scaler, schedule, generators of random numbers."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            same(one, other)
    else:
        assert a == b


class Listener:
    """Keeps what a run says."""

    def __init__(self, when: int = 0, act: Any = None) -> None:
        self.said: list[str] = []
        self.closed, self.when, self.act = False, when, act

    def step(self, done: int) -> None:
        if done == self.when:
            self.act()

    def numbers(self, done: int, values: Any) -> None: ...
    def picture(self, done: int, picture: Any) -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)

    def close(self) -> None:
        self.closed = True


def test_ctrl_c_saves_and_returns_and_the_rest_gives_the_undisturbed_run(tmp_path: Path) -> None:
    show = Listener(3, lambda: signal.raise_signal(signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    last = loop.train(TINY, batches, pair(999), tmp_path / "stopped", show=show)
    assert last.name == "step_000003"
    assert show.said == ["stopped by SIGINT at step 3 of 6, all saved; the same run continues from there"]
    assert show.closed and signal.getsignal(signal.SIGINT) == before
    assert weights(run(tmp_path / "stopped")) == weights(run(tmp_path / "whole"))
    assert lines(tmp_path / "stopped") == lines(tmp_path / "whole")


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    show = Listener(3, twice)
    with pytest.raises(KeyboardInterrupt):
        loop.train(TINY, batches, pair(999), tmp_path, show=show)
    assert [p.name for p in checkpoints.list_complete(tmp_path / "checkpoints")] == ["step_000002"]
    assert show.closed


def test_sigterm_saves_says_so_and_ends_the_process_by_that_signal(tmp_path: Path) -> None:
    process, pipe = start_elsewhere(tmp_path, steps=100_000, decay_steps=0, checkpoint_every=100_000, log_every=1000)
    wait_for(5, pipe)
    os.kill(process.pid, signal.SIGTERM)
    with contextlib.suppress(EOFError):
        while pipe.recv():  # so that it does not wait for the pipe to be read
            pass
    process.join()
    assert process.exitcode == -signal.SIGTERM
    (saved,) = checkpoints.list_complete(tmp_path / "checkpoints")
    assert checkpoints.load_state(saved)["step"] == int(saved.name.removeprefix("step_")) > 5


def test_a_disk_that_is_full_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    """The limit on a file's size makes the kernel refuse the bytes, as a full disk does."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    show = Listener(3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1])))
    try:
        with pytest.raises(OSError, match=r"step_000004: cannot be written \(File too large\); step_000002 is"):
            loop.train(TINY, batches, pair(999), tmp_path / "full", show=show)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in (tmp_path / "full" / "checkpoints").iterdir()] == ["step_000002"]
    assert weights(run(tmp_path / "full")) == weights(run(tmp_path / "whole"))


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="taken"):
        run(tmp_path / "taken")


def test_a_checkpoint_of_another_run_is_refused_with_the_difference(tmp_path: Path) -> None:
    def go(seed: int, noise: list[int]) -> None:
        identity = {"parameters": {"seed": seed}, "recipe": {"operations": [{"noise": noise}]}}
        loop.train(TINY, batches, pair(999), tmp_path, identity=identity)

    go(0, [1, 2])
    go(0, [1, 2])
    with pytest.raises(ValueError, match=r"step_000006 belongs to another run \(parameters.seed: 0 saved, 1"):
        go(1, [1, 2])
    with pytest.raises(ValueError, match=r"\(recipe.operations.0.noise.1: 2 saved, 3 requested\)"):
        go(0, [1, 3])


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    stamp = (first / "state.pt").stat().st_mtime_ns
    assert run(tmp_path) == first
    assert (first / "state.pt").stat().st_mtime_ns == stamp


def test_training_helps(tmp_path: Path) -> None:
    run(tmp_path, steps=60, adversarial_weight=0.0, feature_matching_weight=0.0, lr_generator=3e-3)
    psnr = [line["psnr"] for line in lines(tmp_path)]
    assert psnr[-1] > psnr[0] + 3


def test_without_an_adversary_no_discriminator_is_trained(tmp_path: Path) -> None:
    run(tmp_path, adversarial_weight=0.0, feature_matching_weight=0.0)
    assert not {"discriminator", "d_margin"} & set(lines(tmp_path)[0])


@pytest.mark.parametrize("able", [True, False])
def test_bfloat16_trains_and_a_processor_without_its_instructions_is_named(
    able: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "has_bfloat16", lambda: able)
    show = Listener()
    p = TINY.model_copy(update={"precision": "bfloat16", "steps": 2, "decay_steps": 0})
    loop.train(p, batches, pair(999), tmp_path, show=show)
    assert [text for text in show.said if "float32 may be much faster" in text] == show.said
    assert len(show.said) == (not able) and not (tmp_path / "warnings.jsonl").exists()


def test_float16_on_a_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="needs a GPU; allowed on the CPU: float32, bfloat16"):
        run(tmp_path, precision="float16")


def test_a_device_that_is_not_there_is_refused() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(ParamsError, match="device = 'cuda': not available here"):
            find_device("cuda")


def test_a_loss_that_is_not_finite_stops_with_step_and_keys(tmp_path: Path) -> None:
    def broken(start: int) -> Iterator[dict]:
        for step in range(start, 9):
            batch = pair(step)
            yield {**batch, "clean": batch["clean"] * float("nan")} if step == 3 else batch

    says = r"step 4: l1 is nan, .*on \['a', 'b'\]; the last good checkpoint, step_000002, is kept"
    with pytest.raises(FloatingPointError, match=says):
        loop.train(TINY, broken, pair(999), tmp_path)
    assert [p.name for p in checkpoints.list_complete(tmp_path / "checkpoints")] == ["step_000002"]


def test_a_gradient_that_is_not_finite_stops_the_run_though_its_loss_is(tmp_path: Path) -> None:
    generator, discriminator = loop.build(TINY, torch.device("cpu"))

    def overflow(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("inf") if calls.append(1) or len(calls) == 5 else gradient

    calls: list[int] = []
    generator.draw.bias.register_hook(overflow)
    with pytest.raises(FloatingPointError, match=r"step 5: gradient of the generator is (inf|nan) on \['a', 'b'\]"):
        loop.train(TINY, batches, pair(999), tmp_path, (generator, discriminator))
    assert checkpoints.list_complete(tmp_path / "checkpoints")[-1].name == "step_000004"


@real("yunet", "sface", "vgg16")
def test_a_run_with_every_loss_of_the_picture(tmp_path: Path) -> None:
    face = cv2.resize(data.astronaut()[0:256, 96:352], (32, 32), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    clean = torch.from_numpy(face.copy())[None].expand(2, 3, 32, 32) / 255
    given = {"clean": clean, "degraded": 0.8 * clean, "key": ["a", "b"]}
    names = ("l1", "lpips", "focal", "parts", "identity")
    changes = {**{f"{name}_weight": 1.0 for name in names}, "adversary_from": 9, "steps": 2, "log_every": 1}
    loop.train(TINY.model_copy(update=changes), lambda _: iter([given] * 2), given, tmp_path)
    assert all(line[name] > 0 for line in lines(tmp_path) for name in names)


def rates(**changes: object) -> list[float]:
    p = TINY.model_copy(update={"steps": 10, "decay_steps": 4, **changes})
    return [loop.rate_factor(p, step) for step in range(10)]


def test_the_rate_is_constant_then_a_straight_line() -> None:
    assert rates()[:6] == [1.0] * 6
    assert rates()[6:] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert rates(decay_steps=0) == [1.0] * 10


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine() -> None:
    cosine = [(1 + np.cos(np.pi * done / 5)) / 2 for done in range(1, 5)]
    assert rates(schedule="cosine", warmup_steps=3) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, *cosine])


@pytest.mark.parametrize("discriminator", ["patch", "unet"])
def test_a_run_of_few_faces_resumes_to_the_bit(tmp_path: Path, discriminator: Any) -> None:
    changes = {"augment": "diffaugment", "discriminator": discriminator, "schedule": "cosine", "warmup_steps": 2}
    changes |= {"r1_weight": 0.1, "r1_every": 2}

    def until_the_cut(start: int) -> Iterator[dict]:
        yield from (pair(step) for step in range(start, 5))
        raise PowerCut

    with pytest.raises(PowerCut):
        loop.train(TINY.model_copy(update=changes), until_the_cut, pair(999), tmp_path / "cut")
    assert weights(run(tmp_path / "cut", **changes)) == weights(run(tmp_path / "whole", **changes))
    assert weights(run(tmp_path / "cut", **changes)) != weights(run(tmp_path / "plain", **changes, seed=1))


@pytest.mark.parametrize("change", [{"augment": "diffaugment"}, {"discriminator": "unet"}])
def test_the_parameters_for_few_faces_reach_the_loop(tmp_path: Path, change: dict[str, str]) -> None:
    short = {"steps": 2, "decay_steps": 0}
    assert weights(run(tmp_path / "changed", **short, **change)) != weights(run(tmp_path / "plain", **short))


def test_the_average_follows_the_weights() -> None:
    average, current = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(average.weight)
    torch.nn.init.ones_(current.weight)
    loop.update_average(average, current, 0.75)
    assert average.weight.item() == pytest.approx(0.25)


def test_a_step_is_the_textbook_s_with_one_pass_of_the_generator(tmp_path: Path) -> None:
    """Two passes, one for each side's loss, give the same weights; the loop needs one."""
    p = TINY.model_copy(update={"steps": 1, "decay_steps": 0, "ema_decay": 0.0})
    ours, d_ours = loop.build(p, torch.device("cpu"))
    passes = []
    ours.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    generator, discriminator = (copy.deepcopy(network) for network in (ours, d_ours))
    generator._forward_hooks.clear()
    loop.train(p, batches, pair(999), tmp_path, (ours, d_ours))
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
            + p.adversarial_weight * losses.generator_loss("lsgan", fake)
            + p.feature_matching_weight * losses.feature_matching(fake, real)
        )
        total.backward(inputs=list(generator.parameters()), retain_graph=True)
        fake = discriminator(batch["degraded"], generator(batch["degraded"]).detach())
        losses.discriminator_loss("lsgan", fake, real).backward(inputs=list(discriminator.parameters()))
    for optimizer in optimizers:
        optimizer.step()
    for mine, textbook in ((ours, generator), (d_ours, discriminator)):
        for a, b in zip(mine.parameters(), textbook.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_a_batch_in_parts_takes_the_same_step(tmp_path: Path) -> None:
    """Up to rounding: of the picture, for Adam makes steps of what rounding leaves in weights that do nothing."""
    parts = [run(tmp_path / str(n), accumulate=n) for n in (1, 2)]
    one, two = (checkpoints.load_generator(part / "generator.safetensors")[0](pair(5)["degraded"]) for part in parts)
    torch.testing.assert_close(one, two, atol=1e-4, rtol=0)
    for whole, cut in zip(lines(tmp_path / "1"), lines(tmp_path / "2"), strict=True):
        assert cut == pytest.approx(whole, rel=1e-3, abs=1e-4)


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="batch_size = 2: expected a multiple of 3"):
        run(tmp_path, accumulate=3)


@pytest.mark.parametrize("game", losses.ADVERSARIAL)
def test_every_game_trains_with_the_penalty_and_either_pixel_term(tmp_path: Path, game: str) -> None:
    run(tmp_path, adversarial=game, r1_weight=1.0, r1_every=2, charbonnier_weight=50.0, l1_weight=0.0, log_every=1)
    found = lines(tmp_path)
    assert "charbonnier" in found[0]
    assert [line["step"] for line in found if "r1" in line] == [1, 3, 5]


def test_while_the_discriminator_warms_up_the_generator_does_not_listen(tmp_path: Path) -> None:
    quiet = {"adversarial_weight": 1.0, "feature_matching_weight": 0.0, "l1_weight": 0.0, "perceptual_weight": 0.0}
    generator, discriminator = loop.build(TINY, torch.device("cpu"))
    first = [copy.deepcopy(network.state_dict()) for network in (generator, discriminator)]
    p = TINY.model_copy(update={**quiet, "adversary_from": 6, "discriminator_warmup": 4})
    loop.train(p, batches, pair(999), tmp_path, (generator, discriminator))
    same(dict(generator.state_dict()), dict(first[0]))
    moved = [not torch.equal(a, b) for a, b in zip(discriminator.parameters(), first[1].values(), strict=False)]
    assert any(moved)
    assert ["discriminator" in line for line in lines(tmp_path)] == [False, True, True, True]  # steps 2, 3, 4, 6


def warned(folder: Path, networks: Any = None, source: Any = batches, strip: Any = None, **changes: Any) -> list[str]:
    """The warnings of a run of sixty steps; they are written down, and said."""
    show = Listener()
    p = TINY.model_copy(update={"steps": 60, "lr_generator": 1e-8, **changes})
    loop.train(p, source, strip or pair(999), folder, networks, show=show)
    found = lines(folder, "warnings.jsonl")
    assert show.said == [f"step {line['step']}: {line['warning']}" for line in found]
    return [line["warning"] for line in found]


QUIET = {"adversarial_weight": 0.0, "feature_matching_weight": 0.0}


def test_a_colour_cast_that_lasts_is_warned_of(tmp_path: Path) -> None:
    """Clean faces far brighter than the damaged ones, and nothing that would teach it."""

    def dark(start: int) -> Iterator[dict]:
        for batch in batches(start):
            yield {**batch, "degraded": batch["clean"] * 0.5}

    strip = {**pair(999), "degraded": pair(999)["clean"] * 0.5}
    (warning,) = warned(tmp_path, source=dark, strip=strip, **QUIET)
    assert "colour cast" in warning and "red is 0.2" in warning and "too dark" in warning


def test_droplets_are_warned_of(tmp_path: Path) -> None:
    """A generator that puts a white blob on every face."""
    strip = {name: faces if name == "key" else F.interpolate(faces, 64) for name, faces in pair(999).items()}
    smooth = {**strip, "clean": F.avg_pool2d(strip["clean"], 17, 1, 8), "key": ["a", "b"]}
    generator, discriminator = loop.build(TINY, torch.device("cpu"))

    def drop(_module: Any, _inputs: Any, face: torch.Tensor) -> torch.Tensor:
        blob = torch.zeros_like(face)
        blob[..., 10:14, 10:14] = 1.0
        return torch.maximum(face, blob)

    generator.register_forward_hook(drop)
    smooth["degraded"] = smooth["clean"]
    (warning,) = warned(tmp_path, (generator, discriminator), strip=smooth, **QUIET)
    assert warning.startswith("droplets")


def test_a_discriminator_that_tells_nothing_is_warned_of(tmp_path: Path) -> None:
    warnings = warned(tmp_path, lr_discriminator=1e-8)
    assert any("it separates nothing" in warning for warning in warnings)


def test_a_discriminator_that_always_wins_is_warned_of(tmp_path: Path) -> None:
    """The generator stands still, and what it leaves is easy to see."""

    def grey(start: int) -> Iterator[dict]:
        for batch in batches(start):
            yield {**batch, "degraded": torch.full_like(batch["clean"], 0.5)}

    strip = {**pair(999), "degraded": torch.full((2, 3, 16, 16), 0.5)}
    hard = {"lr_discriminator": 0.01, "steps": 200, "log_every": 5, "beta1": 0.5}
    warnings = warned(tmp_path, source=grey, strip=strip, **hard)
    assert any("it always wins" in warning for warning in warnings)


def test_activation_checkpointing_changes_no_bit(tmp_path: Path) -> None:
    kept, recomputed = (run(tmp_path / str(on), activation_checkpointing=on) for on in (False, True))
    assert weights(kept) == weights(recomputed)


def edges(restored: torch.Tensor, clean: torch.Tensor, _degraded: torch.Tensor) -> torch.Tensor:
    return F.l1_loss(restored.diff(dim=3), clean.diff(dim=3))


def add_edges(folder: Path, losses: Any, **changes: Any) -> Path:
    return loop.train(TINY.model_copy(update=changes), batches, pair(999), folder, losses=losses)


def test_a_loss_of_one_s_own_is_learnt_from_and_has_a_curve_under_its_name(tmp_path: Path) -> None:
    plain, other = run(tmp_path / "plain"), add_edges(tmp_path / "edges", {"edges": (10.0, edges)})
    assert weights(plain) != weights(other)
    log = lines(tmp_path / "edges")
    assert all(line["edges"] > 0 for line in log)
    assert list(network_plots.history(log)["edges"]) == ["edges"]


def test_at_weight_0_it_is_measured_and_changes_no_bit(tmp_path: Path) -> None:
    assert weights(add_edges(tmp_path / "0", {"edges": (0.0, edges)})) == weights(run(tmp_path / "plain"))


def test_with_it_a_step_is_the_textbook_s(tmp_path: Path) -> None:
    """The gradient of the picture is that of 100 l1 + 10 edges; both sides are differentiated in one piece here."""
    changes = {**QUIET, "steps": 1, "decay_steps": 0}
    ours, discriminator = loop.build(TINY, torch.device("cpu"))
    textbook, batch, p = copy.deepcopy(ours).train(), pair(0), TINY.model_copy(update=changes)
    loop.train(p, batches, pair(999), tmp_path, (ours, discriminator), losses={"edges": (10.0, edges)})
    optimizer = torch.optim.Adam(textbook.parameters(), p.lr_generator, (p.beta1, p.beta2))
    restored = textbook(batch["degraded"])
    (100 * F.l1_loss(restored, batch["clean"]) + 10 * edges(restored, batch["clean"], batch["degraded"])).backward()
    optimizer.step()
    for a, b in zip(ours.parameters(), textbook.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_a_run_with_other_losses_is_not_gone_on_with(tmp_path: Path) -> None:
    add_edges(tmp_path, {"edges": (10.0, edges)}, steps=4)
    with pytest.raises(ValueError, match=r"losses.edges: 10.0 saved, 5.0 requested"):
        add_edges(tmp_path, {"edges": (5.0, edges)})
    with pytest.raises(ValueError, match=r"losses.lines: 'nothing' saved, 10.0 requested; losses.edges: 10.0 saved"):
        add_edges(tmp_path, {"lines": (10.0, edges)})
    with pytest.raises(ValueError, match=r"losses.edges: 10.0 saved, 'nothing' requested"):
        run(tmp_path)
    assert add_edges(tmp_path, {"edges": (10.0, edges)}).name == "step_000006"


def test_a_loss_of_the_library_is_one_of_ones_own(tmp_path: Path) -> None:
    own = {"smooth": (1.0, losses.charbonnier), "frequencies": (1.0, losses.focal_frequency)}
    add_edges(tmp_path, own)
    for line in lines(tmp_path):
        assert line["smooth"] == pytest.approx(line["l1"], rel=0.01) and 0 < line["frequencies"] < line["l1"]


def test_a_loss_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loss 'edges': expected \(weight, function\), got <function edges"):
        add_edges(tmp_path, {"edges": edges})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="loss 'psnr': the name is in use"):
        add_edges(tmp_path, {"psnr": (1.0, edges)})
    with pytest.raises(ValueError, match="loss 'edges': the weight is inf"):
        add_edges(tmp_path, {"edges": (float("inf"), edges)})
    with pytest.raises(ValueError, match=r"loss 'edges': expected .* got shape \(2, 3, 16, 16\)"):
        add_edges(tmp_path, {"edges": (1.0, lambda restored, clean, _: restored - clean)})
    with pytest.raises(FloatingPointError, match=r"step 1: edges is nan"):
        add_edges(tmp_path, {"edges": (1.0, lambda restored, *_: restored.mean() * float("nan"))})


class Smoother(torch.nn.Module):
    """A generator that is no ``Generator``."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image + self.convolution(image)).clamp(0, 1)


class OneConvolution(Smoother):
    pass


def smoother(kind: type[Smoother] = Smoother) -> Smoother:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind()


def train_smoother(folder: Path, source: Any = batches, kind: type[Smoother] = Smoother) -> Path:
    _, discriminator = loop.build(TINY, torch.device("cpu"))
    return loop.train(TINY, source, pair(999), folder, (smoother(kind), discriminator))


class Unclipped(Smoother):
    """Draws the input itself before its first step."""

    def __init__(self) -> None:
        super().__init__()
        torch.nn.init.zeros_(self.convolution.weight)
        torch.nn.init.constant_(self.convolution.bias, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + self.convolution(image)


def test_a_network_that_leaves_the_range_later_stops_at_a_line_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"network Unclipped: it draws .* expected \[0, 1\]; end its forward by"):
        train_smoother(tmp_path, kind=Unclipped)


def test_batch_statistics_are_a_warning_of_the_run(tmp_path: Path) -> None:
    _, discriminator = loop.build(TINY, torch.device("cpu"))
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Sigmoid())
    loop.train(TINY, batches, pair(999), tmp_path, (network, discriminator))
    (warning,) = (line for line in lines(tmp_path, "warnings.jsonl") if line["step"] == 0)
    assert "network Sequential: 1 layers (0, ...) keep batch statistics" in warning["warning"]


def test_a_generator_of_another_class_trains_and_resumes_to_the_bit(tmp_path: Path) -> None:
    def until_the_cut(start: int) -> Iterator[dict]:
        for step in range(start, 5):
            yield pair(step)
        raise PowerCut

    with pytest.raises(PowerCut):
        train_smoother(tmp_path / "cut", until_the_cut)
    last = train_smoother(tmp_path / "cut")
    assert weights(last) == weights(train_smoother(tmp_path / "whole"))
    file = last / "ema.safetensors"
    network, info = checkpoints.load_generator(file, network=Smoother())
    assert info["step"] == 6 and not network.training
    assert not torch.equal(network.convolution.weight, smoother().convolution.weight)
    with pytest.raises(
        ValueError, match=r"ema.safetensors: weights of the class 'Smoother'; expected network=Smoother"
    ):
        checkpoints.load_generator(file)
    with pytest.raises(ValueError, match="weights of the class 'Smoother', expected 'OneConvolution'"):
        train_smoother(tmp_path / "cut", kind=OneConvolution)
