"""Real-ESRGAN from ncnn's file: the tensors of the published names; a file that is none is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from spandrel import ModelLoader

from hifacegan_lib.models.spandrel_network import NCNN_TAG, read_realesrgan, realesrgan_layers
from hifacegan_lib.utils import images, weight_registry

NAME = "realesrgan-x4plus"
Named = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tensors() -> Named:
    rng, made = np.random.default_rng(0), {}
    for name, out, into in realesrgan_layers():
        made[f"{name}.weight"] = (0.02 * rng.standard_normal((out, into, 3, 3), np.float32)).astype("<f2")
        made[f"{name}.bias"] = rng.standard_normal(out, np.float32)
    return made


@pytest.fixture
def file(tensors: Named, tmp_path: Path) -> Path:
    """The tensors as ncnn writes them."""
    parts = [(NCNN_TAG.to_bytes(4, "little") if v.ndim == 4 else b"") + v.tobytes() for v in tensors.values()]
    (tmp_path / "x4plus.bin").write_bytes(b"".join(part + b"\0" * (-len(part) % 4) for part in parts))
    return tmp_path / "x4plus.bin"


def test_the_tensors_come_back_and_are_those_of_the_published_network(file: Path, tensors: Named) -> None:
    found = read_realesrgan(file)
    assert len(found) == 2 * 351 and sum(value.size for value in found.values()) == 16_697_987
    for name, value in found.items():
        assert value.dtype == np.float32 and np.array_equal(value, tensors[name])
    built = ModelLoader().load_from_state_dict({name: torch.from_numpy(value) for name, value in found.items()})
    assert (built.architecture.name, built.scale, built.tags) == ("ESRGAN", 4, ["64nf", "23nb"])


def test_a_file_that_is_none_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for wrong, reason in (
        (content[:-1], "ends at byte .*, inside conv_last"),
        (content + b"\0\0", "2 bytes follow conv_last"),
        (b"\1" + content[1:], "tag 0x01306b01 before conv_first, expected 0x01306b47"),
        (b"", "ends at byte 0, inside conv_first"),
    ):
        file.write_bytes(wrong)
        with pytest.raises(ValueError, match=f"x4plus.bin: not ncnn's Real-ESRGAN x4plus: .*{reason}"):
            read_realesrgan(file)


@pytest.mark.skipif(not weight_registry.is_present(NAME), reason=f"hifacegan weights fetch {NAME}")
def test_the_published_weights_enlarge_a_photograph_sharply_and_faithfully() -> None:
    photo = data.astronaut()[40:168, 160:288]
    small = images.resize(photo, 32, 32)
    state = {name: torch.from_numpy(value) for name, value in read_realesrgan(weight_registry.verify(NAME)).items()}
    network = ModelLoader().load_from_state_dict(state).eval()
    large = images.to_uint8(network(images.to_float(small)[None])[0])
    cubic = images.resize(small, 128, 128)
    detail, before = (cv2.Laplacian(picture, cv2.CV_64F).var() for picture in (large, cubic))
    assert detail > 10 * before
    again, shifted = images.resize(large, 32, 32), np.roll(small, 1, axis=0)
    kept, moved = (np.abs(picture.astype(float) - small).mean() for picture in (again, shifted))
    assert kept < moved  # by one pixel of 32
