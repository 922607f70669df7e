"""o-net: the network layer by layer, the same face moved, and a result of ours that matches what is written of it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from standins import real

from hifacegan_lib.metrics import landmarks, registry
from hifacegan_lib.metrics.landmarks import faces_of_crop, five_points
from hifacegan_lib.metrics.metric import MetricUnavailable

CROP = np.ascontiguousarray(data.astronaut()[0:256, 96:352])
POINTS = np.array([[106, 105], [151, 105], [127, 127], [110, 144], [147, 144]])  # as looked at
SHAPES = [(3, 3, 3, 32), (32,), (1, 1, 32), (3, 3, 32, 64), (64,), (1, 1, 64), (3, 3, 64, 64), (64,), (1, 1, 64)]
SHAPES += [(2, 2, 64, 128), (128,), (1, 1, 128), (1152, 256), (256,), (256,), (256, 4), (4,), (256, 10), (10,)]


def by_hand(layers: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """One picture of height x width x channels through the layers, as Keras describes them: loops and slices."""
    for n, (pool, step) in enumerate(((3, 2), (3, 2), (2, 2), (1, 1))):
        kernel, bias, slope = layers[3 * n : 3 * n + 3]
        side, out = kernel.shape[0], x.shape[0] - kernel.shape[0] + 1
        x = sum(x[i : i + out, j : j + out] @ kernel[i, j] for i in range(side) for j in range(side)) + bias
        x = np.where(x > 0, x, slope * x)
        starts = range(0, max(1, x.shape[0] - pool + (1 if n == 1 else step)), step)  # the second one is not padded
        x = np.array([[x[i : i + pool, j : j + pool].max((0, 1)) for j in starts] for i in starts])
    flat = x.transpose(1, 0, 2).ravel() @ layers[12] + layers[13]
    return np.where(flat > 0, flat, layers[14] * flat) @ layers[17] + layers[18]


def test_the_network_is_kerass_definition_by_hand() -> None:
    rng = np.random.default_rng(0)
    layers = [rng.normal(0, 0.1, shape).astype(np.float32) for shape in SHAPES]
    x = rng.uniform(-1, 1, (48, 48, 3)).astype(np.float32)
    found = landmarks.onet([torch.from_numpy(layer) for layer in layers], torch.from_numpy(x.transpose(2, 0, 1)[None]))
    np.testing.assert_allclose(found[0].numpy(), by_hand(layers, x), rtol=1e-3, atol=1e-4)


@real("yunet", "onet")
def test_the_points_lie_on_the_face_and_move_with_it() -> None:
    box = faces_of_crop(CROP)[0].box
    found = five_points(CROP, box)
    np.testing.assert_allclose(found, POINTS, atol=6)
    eyes = np.linalg.norm(found[0] - found[1])
    small = cv2.copyMakeBorder(
        cv2.resize(CROP, (205, 205), interpolation=cv2.INTER_AREA), 30, 21, 12, 39, cv2.BORDER_REPLICATE
    )
    again = five_points(small, faces_of_crop(small)[0].box)
    assert np.linalg.norm(again - (found * 205 / 256 + [12, 30]), axis=1).mean() < 0.02 * eyes
    once = five_points(CROP, (box[0] + 4, box[1], *box[2:]), rounds=0) - five_points(CROP, box, rounds=0)
    steady = five_points(CROP, (box[0] + 4, box[1], *box[2:])) - found
    assert np.abs(steady).mean() < 0.5 * np.abs(once).mean()


@real("yunet", "onet")
def test_a_face_at_the_edge_and_a_tiny_one_have_points() -> None:
    for part in (CROP[:, 100:], cv2.resize(CROP, (48, 48), interpolation=cv2.INTER_AREA)):
        assert np.isfinite(five_points(np.ascontiguousarray(part), (5.0, 5.0, 30.0, 34.0))).all()


def test_without_the_network_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MetricUnavailable, match="`hifacegan weights fetch onet`"):
        five_points(CROP, (0, 0, 9, 9))
    with pytest.raises(MetricUnavailable, match="`hifacegan weights fetch onet`"):
        registry.standard(["lmd"])["lmd"].compute(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))


def test_the_floor_beside_the_number_is_the_measured_one() -> None:
    file = Path(__file__).parents[2] / "benchmarks/results/landmarks.json"
    record = json.loads(file.read_text())
    rows = record["finders"]
    used = rows["o-net, steadied"]
    assert record["faces"] == 100 and used["0.8 x"] == min(row["0.8 x"] for row in rows.values())
    for name, row in {"lle": "0.8 x", "lmd": "0.8 x, pixels at 512"}.items():
        assert registry.FLOORS[name] == f"{used[row]:.2f}"
    for name in ("lle", "lmd"):
        assert f"at 0.8 x has {registry.FLOORS[name]}" in registry.standard([name])[name].implementation
