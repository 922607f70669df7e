import pytest
import torch

from hifacegan_lib.models.discriminator import Discriminator


def build(**options: float) -> Discriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Discriminator(**{"width": 4, **options})  # type: ignore[arg-type]


def faces(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_answers_by_scale_and_layer() -> None:
    answers = build()(faces(2, 3, 64, 64), faces(2, 3, 64, 64, seed=1))
    assert [len(scale) for scale in answers] == [5, 5]
    assert [scale[-1].shape[:2] for scale in answers] == [(2, 1), (2, 1)]
    assert answers[1][-1].shape[2] < answers[0][-1].shape[2]


@pytest.mark.parametrize("size", [(1, 1), (16, 24), (65, 63)])
def test_any_size_of_image(size: tuple[int, int]) -> None:
    assert torch.isfinite(build()(faces(1, 3, *size), faces(1, 3, *size))[0][-1]).all()


def test_the_paper_has_5_5_million_parameters() -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in Discriminator().parameters())
    assert abs(parameters / 1e6 - 5.5) < 0.1


def test_scores_depend_on_the_damage_too() -> None:
    discriminator, face = build(), faces(1, 3, 32, 32)
    one, other = (discriminator(faces(1, 3, 32, 32, seed=s), face)[0][-1] for s in (1, 2))
    assert not torch.allclose(one, other)


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    discriminator, damaged, face = build().eval(), faces(3, 3, 32, 32), faces(3, 3, 32, 32, seed=1)
    torch.testing.assert_close(discriminator(damaged, face)[0][-1][:1], discriminator(damaged[:1], face[:1])[0][-1])


def test_every_convolution_between_the_ends_is_spectrally_normalised() -> None:
    discriminator = build().train()
    for _ in range(30):  # one power iteration a pass
        discriminator(faces(1, 3, 32, 32), faces(1, 3, 32, 32))
    discriminator.eval()
    for scale in discriminator.scales:
        for block in list(scale.blocks)[1:-1]:
            assert abs(torch.linalg.matrix_norm(block[0].weight.flatten(1), 2) - 1) < 0.05


def test_detail_is_seen_by_itself() -> None:
    assert build(detail=8.0).scales[0].blocks[0][0].weight.shape[1] == 9
    discriminator = build(detail=8.0)
    seen: list[torch.Tensor] = []
    discriminator.scales[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    flat = torch.full((1, 3, 32, 32), 0.3)
    dotted = flat.clone()
    dotted[..., 16, 16] = 0.39
    for face in (flat, dotted):
        discriminator(flat, face)
    assert seen[0][:, 6:].abs().max() < 1e-5
    assert seen[1][0, 6:, 16, 16].allclose(torch.tensor(8 * 0.09 * 8 / 9), atol=1e-4)
