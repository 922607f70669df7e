from pathlib import Path

import numpy as np
import pytest
import torch

from hifacegan_lib import images, photos
from hifacegan_lib.generator import Generator, GeneratorConfig


@pytest.fixture(scope="module")
def identity() -> Generator:
    """An untrained network with a skip returns its input: what is left is what the pipeline around it does."""
    return Generator(GeneratorConfig(width=4, stages=1, hidden=4)).eval()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (64, 64)])
def test_size_and_pixels_survive(identity: Generator, size: tuple[int, int]) -> None:
    assert np.array_equal(photos.restore_face(noise(*size), identity), noise(*size))


@pytest.mark.parametrize("work", [16, 48])
def test_the_result_has_the_inputs_size_whatever_the_network_works_at(identity: Generator, work: int) -> None:
    assert photos.restore_face(noise(40, 60), identity, work).shape == (40, 60, 3)


def test_restoring_needs_no_gradient(identity: Generator) -> None:
    photos.restore_face(noise(8, 8), identity)
    assert all(p.grad is None for p in identity.parameters())
    assert torch.is_grad_enabled()


def test_a_folder_keeps_its_tree_and_reports_what_it_leaves_out(tmp_path: Path, identity: Generator) -> None:
    source, out, said = tmp_path / "in", tmp_path / "out", []
    images.save_image(source / "a.png", noise(20, 20))
    images.save_image(source / "deep" / "b.jpg", noise(20, 20))
    (source / "broken.png").write_bytes(b"no image")
    files = sorted(p for p in source.rglob("*") if p.is_file())
    written, failed = photos.restore_files(files, out, identity, 16, source, report=said.append)
    assert [p.relative_to(out).as_posix() for p in written] == ["a.png", "deep/b.png"]
    assert len(failed) == len(said) == 1
    assert "broken.png" in failed[0]


def test_nothing_is_overwritten_unless_asked(tmp_path: Path, identity: Generator) -> None:
    source = images.save_image(tmp_path / "a.png", noise(20, 20))
    first, _ = photos.restore_files([source], tmp_path / "out", identity)
    again, failed = photos.restore_files([source], tmp_path / "out", identity, report=lambda _: None)
    assert len(first) == 1 and not again
    assert "exists already; --overwrite" in failed[0]
    assert photos.restore_files([source], tmp_path / "out", identity, overwrite=True)[0] == first


def test_the_input_is_never_replaced(tmp_path: Path, identity: Generator) -> None:
    source = images.save_image(tmp_path / "a.png", noise(20, 20))
    before = source.read_bytes()
    written, failed = photos.restore_files([source], tmp_path, identity, overwrite=True, report=lambda _: None)
    assert not written
    assert "would replace the input" in failed[0]
    assert source.read_bytes() == before
