"""What a network is given in the field: odd sizes, single rows, one picture, broken numbers, sixteen bits.

Every preset and every published network, at a small width.
"""

import dataclasses

import pytest
import torch

from hifacegan_lib.models.generator import PRESETS, PUBLISHED, Generator, GeneratorConfig
from hifacegan_lib.models.suppression import LIP_RANGE, local_importance_pool2d

KINDS: dict[str, GeneratorConfig] = {
    **{name: dataclasses.replace(c, width=min(4, c.width)) for name, c in {**PRESETS, **PUBLISHED}.items()},
    **{
        f"paper, {kind}": dataclasses.replace(PRESETS["paper"], width=4, stages=3, suppression=kind)  # type: ignore[arg-type]
        for kind in ("lip", "conv")
    },
}


def build(name: str) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(KINDS[name])
        torch.nn.init.normal_(generator.draw.weight, std=0.05)
    return generator.eval()


def faces(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (37, 1), (33, 50), (65, 31)])
@pytest.mark.parametrize("name", list(KINDS))
def test_any_size_gives_a_picture_of_that_size(name: str, size: tuple[int, int]) -> None:
    generator = build(name)
    with torch.no_grad():
        picture = generator(faces(1, 3, *size))
    assert picture.shape == (1, 3, *size) and picture.isfinite().all() and 0 <= picture.min() <= picture.max() <= 1


@pytest.mark.parametrize("size", [(1, 37), (33, 50)])
@pytest.mark.parametrize("name", list(KINDS))
def test_one_picture_trains(name: str, size: tuple[int, int]) -> None:
    generator = build(name).train()
    generator(faces(1, 3, *size)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", list(KINDS))
def test_broken_numbers_are_refused_and_counted(name: str, broken: float) -> None:
    image = faces(2, 3, 32, 32)
    image[1, 2, 3, 4:6] = broken
    for network in (build(name), build(name).train()):
        with pytest.raises(ValueError, match="the image: 2 of 6144 values are NaN or infinite"):
            network(image)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (0, 3, 32, 32), (1, 3, 0, 32)])
def test_what_is_no_batch_of_pictures_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected N x 3 x H x W with at least one pixel"):
        build("compact")(torch.zeros(shape))


@pytest.mark.parametrize("logit", [-1e4, -12.0, 0.0, LIP_RANGE, 1e3, 6e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_no_logit_overflows_local_importance(logit: float, dtype: torch.dtype) -> None:
    f = faces(1, 4, 9, 9).to(dtype).requires_grad_()
    logits = torch.full_like(f, logit)
    logits[..., ::2] = 0  # beside ordinary ones
    logits = logits.detach().requires_grad_()
    pooled = local_importance_pool2d(f, logits)
    assert pooled.isfinite().all() and f.min() <= pooled.min() and pooled.max() <= f.max()
    for gradient in torch.autograd.grad(pooled.float().sum(), (f, logits)):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["hifacegan", "paper, lip", "paper", "compact"])
def test_bfloat16_autocast_draws_and_trains(name: str) -> None:
    generator = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        picture = generator.train()(faces(2, 3, 40, 40))
    picture.float().square().sum().backward()
    assert picture.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())
