from collections.abc import Iterator
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from torch import Tensor

from hifacegan_lib.data import drawn_portraits
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.training import health
from hifacegan_lib.utils import images

HEALTHY = {"cast_r": 0.01, "cast_g": -0.01, "cast_b": 0.0, "droplets": 1.2, "d_margin": 0.1, "d_accuracy": 0.65}
SICK = {
    "colour cast": {"cast_b": -0.041},
    "droplets": {"droplets": 7.0},
    "separates nothing": {"d_margin": 0.003, "d_accuracy": 0.502},
    "always wins": {"d_margin": 0.98, "d_accuracy": 0.999},
}


def batch(faces: list[images.Pixels]) -> Tensor:
    return torch.stack([images.to_float(face) for face in faces])


@pytest.fixture(scope="module")
def faces() -> list[images.Pixels]:
    return [drawn_portraits.portrait(seed, 64) for seed in range(16)]


@pytest.fixture(scope="module")
def clean(faces: list[images.Pixels]) -> Tensor:
    return batch(faces)


def damaged(faces: list[images.Pixels], recipe: str) -> Tensor:
    return batch([load_recipe(recipe).sample(n, grid=64).apply(face) for n, face in enumerate(faces)])


def with_blobs(faces: Tensor, amplitude: float, each: int = 1) -> Tensor:
    """Discs of a radius of 1/32 to 1/12 of the side, brighter or darker by ``amplitude``, as there is room."""
    rng, faces, side = np.random.default_rng(0), faces.clone(), faces.shape[-1]
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    for face in faces:
        for _ in range(each):
            radius = side * rng.uniform(1 / 32, 1 / 12)
            cx, cy = rng.uniform(radius, side - radius, 2)
            disc = (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
            face += amplitude * disc * (1 if face[:, disc].mean() < 0.5 else -1)
    return faces.clamp(0, 1)


def lines(run: health.Monitor, values: dict[str, float], steps: range) -> list[str]:
    return [text for step in steps for text in run.warnings(step, values)]


def test_the_cast_by_hand() -> None:
    clean = torch.full((2, 3, 4, 4), 0.5)
    restored = clean.clone()
    restored[:, 0] += 0.1
    restored[0, 2] -= 0.2  # on one face of two
    torch.testing.assert_close(health.colour_cast(restored, clean), torch.tensor([0.1, 0.0, -0.1]))


@pytest.mark.parametrize("recipe", ["report", "face_renov"])
def test_damage_casts_little_and_a_provoked_cast_is_found(
    faces: list[images.Pixels], clean: Tensor, recipe: str
) -> None:
    restored = damaged(faces, recipe)
    assert health.colour_cast(restored, clean).abs().max() < health.CAST / 2
    red, green, blue = health.colour_cast((restored + torch.tensor([0.05, 0, -0.05]).view(3, 1, 1)).clamp(0, 1), clean)
    assert red > health.CAST and abs(green) < health.CAST and blue < -health.CAST


@pytest.mark.parametrize("recipe", ["report", "face_renov", "denoise", "jpeg", "mosaic16x", "sr4x8x", "deblur"])
def test_no_recipe_leaves_droplets(faces: list[images.Pixels], clean: Tensor, recipe: str) -> None:
    assert health.droplets(damaged(faces, recipe), clean).max() < health.DROPLETS


def test_neither_noise_nor_smoothing_nor_a_cast_nor_an_untrained_grey_is_a_droplet(clean: Tensor) -> None:
    noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(clean, 9, 1, 4, count_include_pad=False)
    for restored in ((clean + noise).clamp(0, 1), smooth, clean * 0.9 + 0.05, torch.full_like(clean, 0.5)):
        assert health.droplets(restored, clean).max() < health.DROPLETS
    assert health.droplets(clean, clean).abs().max() == 0


@pytest.mark.parametrize(("amplitude", "each", "share"), [(0.4, 1, 0.8), (0.4, 2, 0.8), (0.7, 1, 0.9)])
def test_droplets_are_found(clean: Tensor, amplitude: float, each: int, share: float) -> None:
    found = health.droplets(with_blobs(clean, amplitude, each), clean) > health.DROPLETS
    assert found.float().mean() >= share


def test_droplets_are_found_on_damaged_faces(faces: list[images.Pixels], clean: Tensor) -> None:
    scores = health.droplets(with_blobs(damaged(faces, "report"), 0.6), clean)
    assert (scores > health.DROPLETS).float().mean() > 0.75


def test_droplets_do_not_depend_on_the_size_of_the_picture(clean: Tensor) -> None:
    large = [x.repeat_interleave(4, 2).repeat_interleave(4, 3) for x in (with_blobs(clean, 0.5), clean)]
    torch.testing.assert_close(health.droplets(*large), health.droplets(with_blobs(clean, 0.5), clean))


def test_flips_and_the_order_of_faces_change_nothing(clean: Tensor) -> None:
    restored = with_blobs(clean, 0.3)
    scores, cast = health.droplets(restored, clean), health.colour_cast(restored, clean)
    torch.testing.assert_close(health.droplets(restored.flip(0), clean.flip(0)), scores.flip(0))
    for way in (2, 3):
        torch.testing.assert_close(health.droplets(restored.flip(way), clean.flip(way)), scores)
        torch.testing.assert_close(health.colour_cast(restored.flip(way, 0), clean.flip(way, 0)), cast)


@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (16, 40), (100, 70)])
def test_small_oblong_and_constant_pictures_give_finite_scores(shape: tuple[int, int]) -> None:
    noise = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    for restored, clean in (
        (noise, noise.flip(0)),
        (noise, noise * 0 + 0.5),
        (noise * 0, noise * 0),
        (noise * 0, noise),
    ):
        scores = health.droplets(restored, clean)
        assert scores.shape == (2,) and scores.isfinite().all() and scores.min() >= 0


def test_separation_by_hand() -> None:
    clean = [torch.tensor([1.0, 0.8, 0.6, 0.4]).view(1, 1, 2, 2), torch.tensor([[[[1.0]]]])]
    restored = [torch.tensor([0.0, 0.2, 0.5, 0.7]).view(1, 1, 2, 2), torch.tensor([[[[0.6]]]])]
    margin, accuracy = health.separation(clean, restored)
    assert margin == pytest.approx(((0.7 - 0.35) + (1.0 - 0.6)) / 2)
    assert accuracy == pytest.approx(((3 + 2.5) / 8 + 1 / 2) / 2)  # 0.5 lies right on the middle: a half
    assert health.separation(clean, restored, middle=-1)[1] == pytest.approx(0.5)


def test_separation_of_a_perfect_and_of_a_blind_discriminator() -> None:
    ones, zeros = [torch.ones(2, 1, 3, 3)] * 2, [torch.zeros(2, 1, 3, 3)] * 2
    assert health.separation(ones, zeros) == (1, 1)
    assert health.separation(zeros, ones) == (-1, 0)
    assert health.separation(zeros, zeros, middle=0) == (0, 0.5)


def test_a_healthy_run_hears_nothing() -> None:
    assert lines(health.Monitor(), HEALTHY, range(50)) == []
    assert lines(health.Monitor(), {"psnr": 23.0, "l1": 0.05}, range(50)) == []


@pytest.mark.parametrize("sign", SICK)
def test_each_sign_is_said_once_after_patience_with_its_number_and_advice(sign: str) -> None:
    run, values = health.Monitor(), {**HEALTHY, **SICK[sign]}
    spoken = {step: run.warnings(step, values) for step in range(100, 3000, 100)}
    (step,) = (step for step, texts in spoken.items() if texts)
    assert step == 100 * (1 + (10 if "d_margin" in SICK[sign] else 5))
    (text,) = spoken[step]
    assert sign in text and "since step 100" in text and any(word in text for word in ("raise", "lower"))


def test_the_cast_names_its_channels_and_their_sign() -> None:
    run = health.Monitor()
    (text,) = lines(run, {"cast_r": 0.051, "cast_g": 0.02, "cast_b": -0.041}, range(10))
    assert "red is 0.051 too bright, blue is 0.041 too dark" in text and "green" not in text and "l1_weight" in text


@pytest.mark.parametrize("sign", SICK)
def test_a_sign_must_hold_and_comes_again_only_after_healing(sign: str) -> None:
    run, sick = health.Monitor(), {**HEALTHY, **SICK[sign]}
    assert lines(run, HEALTHY, range(20)) == []
    assert [text for _ in range(5) for text in lines(run, sick, range(2)) + lines(run, HEALTHY, range(1))] == []
    assert len(lines(run, sick, range(20, 30))) == 1
    assert lines(run, HEALTHY, range(2)) + lines(run, sick, range(10)) == []  # two good lines do not heal
    assert lines(run, HEALTHY, range(3)) == []
    assert len(lines(run, sick, range(10))) == 1


def test_a_spike_of_the_training_is_said_unless_a_discriminator_or_a_flow_explains_it() -> None:
    curve = [24.3, 24.4, 24.39, 24.41, 23.8, 22.2, 22.5, 22.8, 23.4, 24.0, 24.2]  # a training that fell and recovered
    for known in ({}, {"d_margin": 0.1, "d_accuracy": 0.65}, {"flow": 0.1}):
        run = health.Monitor()
        spoken = [text for step, psnr in enumerate(curve) for text in run.warnings(step, {"psnr": psnr, **known})]
        assert len(spoken) == (not known)
    run.load_state_dict({"cast": health.Monitor().state_dict()["cast"]})  # of a checkpoint that is older than the sign
    assert lines(run, {"psnr": 24.0}, range(9)) + lines(run, {"psnr": 23.6}, range(9)) == []
    (text,) = lines(run, {"psnr": 23.4}, range(9))
    assert text.startswith("training spike: PSNR of the validation strip is 0.60 dB below its best: ")


def noisy_run() -> Iterator[tuple[int, dict[str, float]]]:
    rng = np.random.default_rng(1)
    for step in range(0, 20_000, 100):
        episode = list(SICK.values())[step // 1000 % 4] if rng.random() < 0.9 else {}
        yield step, {**HEALTHY, **episode}


@pytest.mark.parametrize("cut", [3, 7, 12, 61, 104])
def test_a_resumed_watch_warns_like_the_undisturbed_one(cut: int) -> None:
    whole, first, second = health.Monitor(), health.Monitor(), health.Monitor()
    history = list(noisy_run())
    expected = [whole.warnings(*line) for line in history]
    assert sum(map(len, expected)) > 5
    spoken = [first.warnings(*line) for line in history[:cut]]
    state = first.state_dict()
    second.load_state_dict(state)
    spoken += [second.warnings(*line) for line in history[cut:]]
    assert spoken == expected
    assert state == first.state_dict()  # a copy, which the second one did not write into


def test_the_state_passes_through_a_checkpoint(tmp_path: Path) -> None:
    run = health.Monitor()
    lines(run, {**HEALTHY, "droplets": 9.0}, range(8))
    path = tmp_path / "state.pt"
    torch.save(run.state_dict(), path)
    assert torch.load(path, weights_only=True) == run.state_dict()


@pytest.mark.parametrize(("game", "wins"), [("lsgan", 0.95), ("hinge", 1.9), ("non_saturating", 9.0)])
def test_each_game_has_its_own_middle_and_range(game: str, wins: float) -> None:
    run = health.Monitor(game)
    assert run.middle == (0.5 if game == "lsgan" else 0)
    (text,) = lines(run, {"d_margin": wins, "d_accuracy": 0.999}, range(20))
    assert "always wins" in text
    assert lines(health.Monitor(game), {"d_margin": wins / 2, "d_accuracy": 0.999}, range(20)) == []


def test_nan_or_infinity_is_named_with_step_and_keys_at_the_next_look(tmp_path: Path) -> None:
    finite = health.FiniteCheck(tmp_path)
    finite.note(1, ["a"], {"l1": torch.tensor(1.0)})
    finite.note(2, ["b", "c"], {"l1": torch.tensor(float("nan")), "psnr": torch.tensor(3.0), "x": torch.tensor(1e39)})
    says = r"step 2: l1 is nan, x is inf on \['b', 'c'\]; there is no checkpoint yet"
    with pytest.raises(FloatingPointError, match=says):
        finite.note(3, ["d"], {"l1": torch.tensor(1.0)})


def test_finite_numbers_pass_and_are_looked_at_once(tmp_path: Path) -> None:
    finite = health.FiniteCheck(tmp_path)
    finite.check()
    finite.note(1, [], {"l1": torch.tensor(1.0)})
    finite.check()
    finite.check()


def test_a_loss_scale_that_fell_to_nothing_stops_float16(tmp_path: Path) -> None:
    finite, off = health.FiniteCheck(tmp_path), torch.amp.GradScaler("cpu", enabled=False)
    finite.note(5, [], {"l1": torch.tensor(1.0)})
    finite.check(off)
    finite.note(5, [], {"l1": torch.tensor(1.0)})
    on = torch.amp.GradScaler("cpu", init_scale=2.0**-12)
    with pytest.raises(FloatingPointError, match=r"step 5: every gradient overflows float16 .*try precision bfloat16"):
        finite.check(on)


def test_the_recorded_scores(clean: Tensor) -> None:
    golden.check("training: droplets", health.droplets(with_blobs(clean, 0.5), clean), unit=10)
    oblong = golden.faces(3, 3, 40, 70)
    golden.check("training: droplets of oblong faces", health.droplets(oblong.flip(3), oblong))
    golden.check("training: cast", health.colour_cast(with_blobs(clean, 0.5), clean))


def test_every_limit_is_where_it_is_written() -> None:
    """Just below it nothing is said, just above it a warning."""
    limits = [("cast_g", 0.03, 1), ("cast_g", -0.03, -1), ("droplets", 4.5, 1)]
    for name, limit, way in limits:
        for beyond in (False, True):
            values = {**HEALTHY, name: limit + way * (1e-4 if beyond else -1e-4)}
            assert bool(lines(health.Monitor(), values, range(20))) == beyond, (name, beyond)
    for margin, accuracy, said in (
        *((0.0199, 0.529, 1), (0.0201, 0.529, 0), (0.0199, 0.531, 0)),
        *((0.901, 0.991, 1), (0.899, 0.991, 0), (0.901, 0.989, 0)),
    ):
        assert len(lines(health.Monitor(), {"d_margin": margin, "d_accuracy": accuracy}, range(20))) == said
