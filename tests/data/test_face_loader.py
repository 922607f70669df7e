"""Pairs: the same pixels for any number of workers, any order and any start; framed first, then degraded."""

import json
import multiprocessing
from itertools import islice
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifacegan_lib.data.face_loader import FaceLoader, FacePairs, LoaderConfig
from hifacegan_lib.data.manifest import Manifest
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.degradations.crop import draw_frame
from hifacegan_lib.degradations.recipes import Trace, load_recipe, pair_seed
from hifacegan_lib.utils.images import Pixels, center_square, load_image, resize, save_image, to_float, to_uint8

Batches = list[dict[str, Any]]


def frame(image: Pixels, size: int, crop_min: float, flip_probability: float, seed: int) -> Pixels:
    return draw_frame(*image.shape[:2], size, crop_min, flip_probability, seed).apply(image)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures to train on and five to validate, 40 x 32."""
    root = tmp_path_factory.mktemp("data")
    for number in range(17):
        image = np.random.default_rng(number).integers(0, 256, (40, 32, 3), dtype=np.uint8)
        save_image(root / f"faces/{number:02d}.png", image)
    sizes = {"train_size": 12, "valid_size": 5}
    prepare(source="folder", source_path=root / "faces", data_dir=root, progress=False, **sizes)
    return root


def config(data: Path, **changed: Any) -> LoaderConfig:
    options = {
        "image_size": 24,
        "recipe": "report",
        "batch_size": 5,
        "crop_min": 0.7,
        "flip_probability": 0.5,
    } | changed
    return LoaderConfig(data_dir=data, **options)


def loader(data: Path, split: str = "train", **changed: Any) -> FaceLoader:
    return FaceLoader(config(data, **changed), split)


def assert_same(left: Batches, right: Batches) -> None:
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        assert a["key"] == b["key"] and a["trace"] == b["trace"]
        assert torch.equal(a["clean"], b["clean"]) and torch.equal(a["degraded"], b["degraded"])


def by_key(batches: Batches) -> dict[str, torch.Tensor]:
    return {key: image for batch in batches for key, image in zip(batch["key"], batch["degraded"], strict=True)}


# what a pair is


def test_a_batch_has_the_shapes_and_ranges_of_the_contract(data: Path) -> None:
    batch = next(iter(loader(data)))
    for name in ("clean", "degraded"):
        assert batch[name].shape == (5, 3, 24, 24) and batch[name].dtype == torch.float32
        assert batch[name].min() >= 0 and batch[name].max() <= 1
    assert len(batch["key"]) == len(set(batch["key"])) == 5
    assert not torch.equal(batch["clean"], batch["degraded"])


def test_the_clean_face_is_framed_first_and_degraded_at_that_size(data: Path) -> None:
    for batch in loader(data, seed=3):
        for key, trace, clean, degraded in zip(*(batch[k] for k in ("key", "trace", "clean", "degraded")), strict=True):
            seed = pair_seed(key, 0, 3)
            source = load_image(data / "faces" / key)
            cut = draw_frame(*source.shape[:2], 24, 0.7, 0.5, seed)
            assert torch.equal(clean, to_float(cut.apply(source)))
            assert Trace.from_json(trace) == load_recipe("report").sample(seed, grid=24).with_frame(cut)
            assert torch.equal(degraded, to_float(Trace.from_json(trace).replay(source)))
            assert torch.equal(degraded, to_float(Trace.from_json(trace).apply(to_uint8(clean))))


def test_defaults_show_the_centred_square_unflipped(data: Path) -> None:
    for batch in loader(data, "valid", crop_min=1.0, flip_probability=0.0):
        for key, clean in zip(batch["key"], batch["clean"], strict=True):
            whole = center_square(load_image(data / "faces" / key))
            assert torch.equal(clean, to_float(resize(whole, 24, 24)))


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 1), st.integers(0, 2**56))
@settings(deadline=None)
def test_a_frame_lies_within_the_image(height: int, width: int, crop_min: float, seed: int) -> None:
    image = np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)
    side = min(height, width)
    found = frame(image, side, crop_min, 0.5, seed)
    assert found.shape == (side, side, 3)
    if side == 1:
        assert (image == found).all(-1).any()


def test_crops_have_the_asked_sides_and_reach_every_place() -> None:
    ramp = np.arange(100, dtype=np.uint8)[:, None, None] + np.zeros((1, 100, 3), np.uint8)  # grey level = row
    crops = np.array([frame(ramp, 100, 0.5, 0.0, seed)[[0, -1], 0, 0].astype(int) for seed in range(400)])
    sides = crops[:, 1] - crops[:, 0] + 1
    assert 48 <= sides.min() < 53 and 97 < sides.max() <= 100
    assert crops[:, 0].min() == 0 and crops[:, 1].max() == 99 and crops[:, 0].max() > 40
    assert abs(sides.mean() - 75) < 3


def test_flips_come_as_often_as_asked() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :4] = 255
    flipped = [frame(image, 8, 1.0, 0.3, seed)[0, 0, 0] == 0 for seed in range(500)]
    assert abs(np.mean(flipped) - 0.3) < 0.08
    assert not any(frame(image, 8, 1.0, 0.0, seed)[0, 0, 0] == 0 for seed in range(50))
    assert all(frame(image, 8, 1.0, 1.0, seed)[0, 0, 0] == 0 for seed in range(50))


# who makes it, when


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_any_number_of_workers_makes_the_same_pixels(data: Path, workers: int) -> None:
    alone, many = loader(data, batch_size=2), loader(data, batch_size=2, workers=workers)
    assert_same(list(alone), list(many))
    assert_same(list(islice(alone.batches(4), 9)), list(islice(many.batches(4), 9)))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_closed_stream_has_ended_its_workers(data: Path) -> None:
    before = set(multiprocessing.active_children())
    stream = loader(data, batch_size=2, workers=2).batches()
    next(stream)
    workers = set(multiprocessing.active_children()) - before
    stream.close()
    assert [worker.exitcode for worker in workers] == [0, 0]  # by themselves, not by a signal


def test_a_spawned_process_makes_the_same_pixels(data: Path) -> None:
    pairs = loader(data).pairs
    context = torch.multiprocessing.get_context("spawn")
    places = [[(0, 0), (1, 7)], [(2, 1)]]
    spawned = torch.utils.data.DataLoader(pairs, batch_sampler=places, num_workers=1, multiprocessing_context=context)
    assert_same(list(spawned), list(torch.utils.data.DataLoader(pairs, batch_sampler=places)))


def test_a_resumed_stream_is_the_uninterrupted_one_from_there(data: Path) -> None:
    whole = list(islice(loader(data).batches(), 7))
    for start in (0, 1, 2, 5):
        assert_same(list(islice(loader(data).batches(start), 7 - start)), whole[start:])


def test_the_stream_begins_with_the_first_epoch(data: Path) -> None:
    one = loader(data, batch_size=4)
    assert_same(list(islice(one.batches(), 3)), list(one))


@pytest.mark.parametrize("world", [1, 5])
def test_every_image_is_seen_once_an_epoch_by_one_process_or_many(data: Path, world: int) -> None:
    """Batches of 5 from 12 images: 12 batches are 5 epochs, and some batches reach over two of them."""
    shares = [list(islice(loader(data).batches(0, rank, world), 12)) for rank in range(world)]
    assert {len(batch["key"]) for share in shares for batch in share} == {5 // world}
    turns = (zip(*(batch["key"] for batch in batches), strict=True) for batches in zip(*shares, strict=True))
    stream = [key for turn in turns for keys in turn for key in keys]
    alone = [key for batch in islice(loader(data).batches(), 12) for key in batch["key"]]
    assert stream == alone
    everyone = {entry.key for entry in Manifest.load(data).files("train")}
    for epoch in range(5):
        assert set(stream[12 * epoch :][:12]) == everyone


def test_a_share_that_does_not_fit_is_refused(data: Path) -> None:
    with pytest.raises(ValueError, match=r"rank = 0, world = 2: .* to divide the batch of 5"):
        loader(data).batches(0, 0, 2)
    with pytest.raises(ValueError, match="rank = 5, world = 5"):
        loader(data).batches(0, 5, 5)


def test_skipped_batches_are_not_decoded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    make = FacePairs.__getitem__
    monkeypatch.setattr(FacePairs, "__getitem__", lambda self, place: asked.append(place) or make(self, place))
    next(loader(data).batches(1_000_000))
    assert len(asked) == 5 and {epoch for _, epoch in asked} == {5_000_000 // 12, 5_000_000 // 12 + 1}


def test_two_iterations_do_not_disturb_each_other(data: Path) -> None:
    one, expected = loader(data), list(loader(data))
    first, second = iter(one), iter(one)
    mixed = [(next(first), next(second)) for _ in expected]
    assert_same([a for a, _ in mixed], expected)
    assert_same([b for _, b in mixed], expected)


def test_no_global_state_is_drawn_from_or_changed(data: Path) -> None:
    import random

    import cv2

    def state() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(), cv2.getNumThreads()  # noqa: NPY002

    before, batches = state(), list(loader(data))
    assert state() == before
    torch.manual_seed(99)
    assert_same(list(loader(data)), batches)


# epochs and seeds


def test_an_epoch_changes_order_and_damage(data: Path) -> None:
    first, second = islice(loader(data, batch_size=12).batches(), 2)
    assert first["key"] != second["key"] and set(first["key"]) == set(second["key"])
    assert set(first["trace"]).isdisjoint(second["trace"])


def test_a_pair_depends_on_its_key_alone_not_on_its_neighbours(data: Path) -> None:
    few, all_at_once = by_key(list(loader(data, batch_size=1))), by_key(list(loader(data, batch_size=12)))
    assert few.keys() == all_at_once.keys()
    assert all(torch.equal(few[key], all_at_once[key]) for key in few)


def test_the_seed_changes_order_and_damage(data: Path) -> None:
    zero, one = next(iter(loader(data, batch_size=12))), next(iter(loader(data, batch_size=12, seed=1)))
    assert zero["key"] != one["key"] and set(zero["trace"]).isdisjoint(one["trace"])


def test_training_comes_in_full_batches_of_other_images_each_epoch(data: Path) -> None:
    one = loader(data)
    assert len(one) == 2 and [len(batch["key"]) for batch in one] == [5, 5]
    seen = {key for batch in islice(one.batches(), 12) for key in batch["key"]}
    assert len(seen) == 12  # nobody is left out for good


def test_validation_comes_whole_in_the_order_of_keys(data: Path) -> None:
    one = loader(data, "valid", batch_size=3)
    keys = [key for batch in one for key in batch["key"]]
    assert len(one) == 2 and [len(batch["key"]) for batch in one] == [3, 2]
    assert keys == sorted(entry.key for entry in Manifest.load(data).files("valid"))


# what goes wrong


def test_too_few_images_for_a_batch_are_counted(data: Path) -> None:
    with pytest.raises(ValueError, match="the 12 images of train do not fill a batch of 13"):
        loader(data, batch_size=13)
    assert len(loader(data, "valid", batch_size=13)) == 1


def test_enlarged_faces_are_warned_of(data: Path) -> None:
    with pytest.warns(UserWarning, match=r"12 of 12 images are enlarged to image_size = 33 \(smallest side 32\)"):
        loader(data, image_size=33)
    loader(data, image_size=32)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 0),
        ("batch_size", 0),
        ("workers", -1),
        ("seed", -1),
        ("crop_min", 0.0),
        ("crop_min", 1.1),
        ("crop_min", float("nan")),
        ("flip_probability", -0.1),
        ("flip_probability", float("nan")),
    ],
)
def test_values_out_of_range_are_named(data: Path, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}\n.*input_value={value}"):
        config(data, **{name: value})


def test_no_such_manifest_split_or_recipe(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no manifest"):
        loader(tmp_path)
    with pytest.raises(ValueError, match="split = 'test'"):
        loader(data, "test")
    with pytest.raises(ValueError, match="no recipe 'rain'"):
        loader(data, recipe="rain")
    with pytest.raises(ValueError, match="start = -1"):
        loader(data).batches(-1)


def test_a_file_that_is_gone_or_changed_is_named(tmp_path: Path) -> None:
    sizes = {"train_size": 2, "valid_size": 1, "synthetic_size": 32}
    prepare(source="synthetic", data_dir=tmp_path, progress=False, **sizes)
    entry = Manifest.load(tmp_path).files("valid")[0]
    one = loader(tmp_path, "valid")
    save_image(entry.path, np.zeros((30, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=rf"{entry.path.name}: 32 x 30 pixels, the manifest says 32 x 32"):
        list(one)
    entry.path.unlink()
    with pytest.raises(FileNotFoundError, match=entry.path.name):
        list(one)


def test_a_recipe_file_of_ones_own_is_used(data: Path, tmp_path: Path) -> None:
    recipe = json.loads(load_recipe("jpeg").to_json()) | {"name": "mine"}
    (tmp_path / "mine.json").write_text(json.dumps(recipe))
    batch = next(iter(loader(data, recipe=tmp_path / "mine.json")))
    assert all(json.loads(trace)["recipe"] == "mine" for trace in batch["trace"])


@pytest.mark.parametrize("split", ["train", "valid"])
def test_the_recorded_pairs(data: Path, split: str) -> None:
    found = list(islice(loader(data, split, recipe="face_renov").batches(3), 3))
    for name in ("clean", "degraded"):
        golden.check(f"data: pairs of {split}, {name}", torch.cat([batch[name] for batch in found]))
