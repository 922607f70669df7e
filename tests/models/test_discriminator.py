import golden
import numpy as np
import pytest
import torch

from hifacegan_lib.models.discriminator import Discriminator, UNetDiscriminator, _PixelStatistics


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


@pytest.mark.parametrize("options", [{}, {"detail": 8.0}, {"scales": 3, "layers": 2}, {"layers": 6, "width": 1}])
def test_the_recorded_scores(options: dict[str, float]) -> None:
    discriminator, face = build(**options).eval(), golden.faces(2, 3, 37, 30, seed=1).requires_grad_()
    answers = discriminator(golden.faces(2, 3, 37, 30), face)
    sum(scale[-1].square().sum() for scale in answers).backward()  # type: ignore[union-attr]
    for n, scale in enumerate(answers):
        golden.check(f"models: discriminator {options}, scale {n}", torch.cat([x.flatten() for x in scale]))
    golden.check(f"models: discriminator {options}, slope", face.grad)


def test_statistics_of_pixels_by_numpy() -> None:
    x = 3 * faces(2, 4, 5, 6) + 1
    a = x.numpy().astype(np.float64)
    expected = (a - a.mean((2, 3), keepdims=True)) / np.sqrt(a.var((2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(_PixelStatistics()(x), expected, atol=1e-5)
    assert not _PixelStatistics()(x[..., :1, :1]).any()


def test_a_scale_sees_means_of_the_pixels_inside_the_one_before() -> None:
    discriminator, face, seen = build(detail=2.0), faces(1, 3, 9, 8), []
    for scale in discriminator.scales:
        scale.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0].numpy()))
    with torch.no_grad():
        discriminator(faces(1, 3, 9, 8, seed=1), face)

    def mean(x: np.ndarray, step: int) -> np.ndarray:
        rows, columns = (range(0, side, step) for side in x.shape[1:])
        near = [[x[:, max(0, r - 1) : r + 2, max(0, c - 1) : c + 2].mean((1, 2)) for c in columns] for r in rows]
        return np.moveaxis(np.array(near), 2, 0)

    np.testing.assert_allclose(seen[0][3:6], face[0].numpy() * 2 - 1, atol=1e-6)
    np.testing.assert_allclose(seen[0][6:], 2 * (face[0].numpy() - mean(face[0].numpy(), 1)), atol=1e-6)
    np.testing.assert_allclose(seen[1], mean(seen[0], 2), atol=1e-6)


def test_layers_have_the_widths_and_strides_of_pix2pixhd() -> None:
    convolutions = [block[0] for block in build(layers=6, width=2).scales[0].blocks]  # type: ignore[index, union-attr]
    assert [c.out_channels for c in convolutions] == [2, 4, 8, 16, 16, 16, 1]
    assert [c.stride[0] for c in convolutions] == [2, 2, 2, 2, 2, 1, 1]
    assert [c.bias is not None for c in convolutions] == [True, False, False, False, False, False, True]


def unet(**options: float) -> UNetDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNetDiscriminator(width=4, **options)


@pytest.mark.parametrize("size", [(8, 8), (33, 30)])
def test_the_unet_scores_each_pixel_with_all_that_surrounds_it(size: tuple[int, int]) -> None:
    damaged, face = faces(1, 3, *size), faces(1, 3, *size, seed=1).requires_grad_()
    (scale,) = unet().eval()(damaged, face)
    assert scale[-1].shape == (1, 1, *size) and len(scale) == 10
    scale[-1][0, 0, 4, 4].backward()
    assert face.grad is not None and face.grad[0, :, :8, :8].all()


def test_every_inner_convolution_of_the_unet_is_spectrally_normalised() -> None:
    network = unet(detail=2.0).train()
    for _ in range(60):  # one power iteration a pass
        network(faces(1, 3, 16, 16), faces(1, 3, 16, 16))
    network.eval()
    inner = [*network.down, *network.up, *network.refine]
    assert [abs(torch.linalg.matrix_norm(layer.weight.flatten(1), 2) - 1) < 0.05 for layer in inner] == [True] * 8


def test_the_unet_of_real_esrgan_has_4_4_million_parameters() -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in UNetDiscriminator().parameters())
    assert parameters == 4_376_897 + 3 * 64 * 9  # theirs sees the face alone: three channels fewer


def test_the_unet_learns_to_separate_pixels() -> None:
    """Right halves of restored faces are wrong: scores fall there, and not in the left halves."""
    network, clean = unet(), faces(4, 3, 16, 16)
    wrong = clean.clone()
    wrong[..., 8:] = 1 - wrong[..., 8:]
    adam = torch.optim.Adam(network.parameters(), 0.01, (0.5, 0.9))
    for _ in range(60):
        real, fake = (network(clean, face)[0][-1] for face in (clean, wrong))
        ((real - 1).square().mean() + fake[..., 8:].square().mean() + (fake[..., :8] - 1).square().mean()).backward()
        adam.step()
        adam.zero_grad()
    good = network.eval()(clean, wrong)[0][-1] > 0.5
    assert good[..., :8].float().mean() > 0.9 and good[..., 8:].float().mean() < 0.1
