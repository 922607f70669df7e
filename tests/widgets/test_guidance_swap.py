"""Guidance of two faces, exchanged level by level."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.utils.images import to_float, to_uint8
from hifacegan_lib.widgets import guidance_swap

CONFIG = GeneratorConfig(skip=False, width=4, stages=2, hidden=4)


@pytest.fixture(scope="module")
def generator() -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Generator(CONFIG).eval()


def faces(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_encoding_and_decoding_is_the_network(generator: Generator) -> None:
    code = guidance_swap.encode(generator, faces())
    with torch.no_grad():
        assert torch.equal(generator.decode(*code), generator(faces()))


def test_each_mode_exchanges_its_levels(generator: Generator) -> None:
    a, b = (guidance_swap.encode(generator, face[None]).guides for face in faces())

    def origin(level: int, mixed: list[torch.Tensor]) -> str:
        names = {"a": a, "b": b, "flat": [g.mean((2, 3), keepdim=True).expand_as(g) for g in a]}
        return next(name for name, guides in names.items() if torch.equal(mixed[level], guides[level]))

    def origins(mode: guidance_swap.Mode, level: int) -> list[str]:
        return [origin(n, guidance_swap.mix_guidance(a, b, mode, level)) for n in range(3)]

    assert origins("progressive", 0) == ["b", "b", "b"]
    assert origins("progressive", 2) == ["a", "a", "b"]
    assert origins("one plug", 1) == ["a", "b", "a"]
    assert origins("one ablate", 1) == ["a", "flat", "a"]


def test_a_face_swapped_with_itself_stays(generator: Generator) -> None:
    a = guidance_swap.encode(generator, faces(1))
    for mode in ("progressive", "one plug"):
        picture = guidance_swap.swap(generator, a, a, mode, 1)  # type: ignore[arg-type]
        assert torch.equal(picture, generator.decode(*a).detach())


def test_what_cannot_be_swapped_is_told(generator: Generator) -> None:
    a, b = (guidance_swap.encode(generator, face[None]).guides for face in faces())
    with pytest.raises(ValueError, match="mode is one of progressive, one plug, one ablate; got 'all'"):
        guidance_swap.mix_guidance(a, b, "all", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level = 3: this generator has levels 0 to 2"):
        guidance_swap.mix_guidance(a, b, "one plug", 3)
    with pytest.raises(ValueError, match="faces of one size are needed"):
        guidance_swap.mix_guidance(a, [g[:, :, :4] for g in b], "one plug", 0)


def test_the_share_runs_from_one_face_to_the_other() -> None:
    a, b = faces().split(1)
    assert guidance_swap.share_of_way(a, a, b) == 0 and guidance_swap.share_of_way(b, a, b) == pytest.approx(1)
    assert guidance_swap.share_of_way((a + b) / 2, a, b) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="equal"):
        guidance_swap.share_of_way(a, a, a)


def test_the_widget_shows_what_the_library_draws(generator: Generator) -> None:
    a, b = faces()
    widget = guidance_swap.GuidanceSwap(generator, to_uint8(a), to_uint8(b))
    first = widget.pictures["swapped"].value
    widget.mode.value, widget.level.value = "one ablate", 1
    assert widget.pictures["swapped"].value != first and widget.words.value.startswith("one ablate, level 1:")
    codes = [guidance_swap.encode(generator, to_float(to_uint8(face))[None]) for face in (a, b)]
    drawn = to_uint8(guidance_swap.swap(generator, codes[0], codes[1], "one ablate", 1)[0])
    picture = np.asarray(Image.open(io.BytesIO(widget.pictures["swapped"].value)))
    np.testing.assert_array_equal(picture[::16, ::16], drawn)
