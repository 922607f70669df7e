import copy
import dataclasses
import io
from pathlib import Path

import pytest
import torch
from published import Tensors, draw, tensors
from safetensors.torch import save_file

from hifacegan_lib.models import checkpoints, published
from hifacegan_lib.models.generator import PUBLISHED, Generator, GeneratorConfig
from hifacegan_lib.models.replenishment import normalise
from hifacegan_lib.models.suppression import LocalImportanceConv2d

VARIANTS = sorted(PUBLISHED)
CLOSE = 3e-5  # of the range; the order of float32 sums


def faces(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def ours(t: Tensors, image: torch.Tensor, training: bool, norm: str | None = None) -> torch.Tensor:
    generator, _ = published.import_state(t, norm)  # type: ignore[arg-type]
    if training:
        published.step_as_published(generator)
    with torch.no_grad():
        return generator.train(training)(image)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("width", [3, 8])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_picture_is_that_of_the_published_network(variant: str, width: int, training: bool) -> None:
    t, image = tensors(variant, width), faces(2, 3, 64, 96)
    expected = draw(variant, t, image, training)
    assert expected.std() > 0.05
    assert (ours(t, image, training) - expected).abs().max() <= CLOSE


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", ["instance", "rms"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_without_batch_statistics_each_picture_has_its_own(variant: str, norm: str, training: bool) -> None:
    t, image = tensors(variant, 4, norm=norm), faces(2, 3, 64, 64)
    assert published.infer_config(t).norm == "instance"
    expected = draw(variant, t, image, training, norm)
    assert (ours(t, image, training, norm) - expected).abs().max() <= CLOSE


def test_lost_batch_statistics_are_made_up_for_as_the_authors_test() -> None:
    t, image = tensors("hifacegan", 4), faces(1, 3, 64, 64)
    bare = {name: value for name, value in t.items() if "running" not in name and "tracked" not in name}
    assert (ours(bare, image, training=True) - draw("hifacegan", t, image, True)).abs().max() <= CLOSE
    with pytest.raises(ValueError, match="no batch statistics"):
        published.import_state(bare, "batch")


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_width_and_norms_are_read_off_the_keys(variant: str) -> None:
    for width, spectral, norm in ((5, True, "batch"), (6, False, "instance")):
        generator, info = published.import_state(tensors(variant, width, spectral=spectral, norm=norm))
        c = generator.config
        assert (published.variant(c), c.width, c.spectral_norm, c.norm) == (variant, width, spectral, norm)
        assert info == {"source": "Face-Renovation", "variant": variant}
        assert not generator.training
        assert len(generator.spectral_layers()) == 18 * spectral


@pytest.mark.parametrize(
    ("variant", "width", "millions"),
    [
        ("spade", 48, 56.3),
        ("lipspade", 48, 72.2),
        ("hifacegan", 48, 79.9),
        ("spade", 64, 92.0),
        ("lipspade", 64, 120.3),
        ("hifacegan", 64, 130.6),
    ],
)
def test_sizes_are_the_published_ones(variant: str, width: int, millions: float) -> None:
    config = dataclasses.replace(PUBLISHED[variant], width=width, spectral_norm=False)
    with torch.device("meta"):
        generator = Generator(config)
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_prefixes_wrappers_and_the_other_naming_change_nothing(tmp_path: Path) -> None:
    t, image = tensors("lipspade", 4), faces(1, 3, 64, 64)
    expected = draw("lipspade", t, image, training=False)
    renamed = {name.replace("G_middle", "g_middle"): value for name, value in t.items()}
    files = {
        "plain.pth": t,
        "parallel.pth": {f"module.{name}": value for name, value in t.items()},
        "basicsr.pth": {"params": renamed},
        "average.pth": {"params": {}, "params_ema": {f"module.{name}": value for name, value in renamed.items()}},
        "trainer.pth": {"step": 3, "state_dict": {"netD.x": torch.ones(1), **{f"netG.{n}": v for n, v in t.items()}}},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    save_file(t, tmp_path / "plain.safetensors")
    torch.save(t, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for path in sorted(tmp_path.iterdir()):
        generator, info = published.read_any(path)
        assert info["source"] == ("BasicSR" if path.stem in ("basicsr", "average") else "Face-Renovation"), path.name
        with torch.no_grad():
            assert (generator(image) - expected).abs().max() <= CLOSE, path.name


@pytest.mark.parametrize("training", [False, True])
def test_files_older_than_weight_v(training: bool) -> None:
    """Until the end of 2018 a file had no v, but the weight as it was last divided: eval() used that."""
    t, image = tensors("hifacegan", 4), faces(2, 3, 64, 64)
    old = {name: value for name, value in t.items() if not name.endswith(("weight_v", "num_batches_tracked"))}
    assert (ours(old, image, training) - draw("hifacegan", old, image, training)).abs().max() <= CLOSE
    name = "ups.0.conv_1.weight"
    divided = {**old, name: old[f"{name}_orig"] / 0.7}  # not what u alone would give
    used = {n: v for n, v in divided.items() if not n.startswith(f"{name}_") or training}
    if training:
        del used[name]
    assert (ours(divided, image, training) - draw("hifacegan", used, image, training)).abs().max() <= CLOSE


def test_a_stale_divided_weight_is_left_aside() -> None:
    t, image = tensors("spade", 4), faces(1, 3, 64, 64)
    old = {name: value for name, value in t.items() if not name.endswith("weight_v")}
    stale = {**old, "head_0.conv_0.weight": torch.randn(64, 64, 3, 3)}
    assert torch.equal(ours(stale, image, training=False), ours(old, image, training=False))


def test_half_precision_weights_are_widened() -> None:
    t = {name: value.half() if value.is_floating_point() else value for name, value in tensors("spade", 3).items()}
    assert {p.dtype for p in published.import_state(t)[0].parameters()} == {torch.float32}


def test_an_import_shares_no_memory_with_what_it_was_given() -> None:
    t = tensors("spade", 3)
    before = copy.deepcopy(t)
    generator, _ = published.import_state(t)
    published.step_as_published(generator.train())
    generator(faces(2, 3, 64, 64))
    assert all(torch.equal(t[name], before[name]) for name in before)


def test_differences_are_listed_with_key_found_and_expected(tmp_path: Path) -> None:
    t = tensors("hifacegan", 4)
    t["head_0.conv_0.bias"] = torch.zeros(5)
    t["fc.weight"] = torch.zeros(64, 256)
    del t["ups.3.norm_s.mlp_beta.weight"]
    t["ups.4.conv_0.bias"] = torch.zeros(2)
    torch.save(t, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"odd\.pth: does not fit in 4 tensors") as error:
        published.read_any(tmp_path / "odd.pth")
    for line in (
        "head_0.conv_0.bias: found [5], expected [64]",
        "fc.weight: found [64, 256], expected [64, 3, 3, 3]",
        "ups.3.norm_s.mlp_beta.weight: found nothing, expected [8, 8, 3, 3]",
        "ups.4.conv_0.bias: found [2], expected nothing",
    ):
        assert f"\n  {line}" in str(error.value)
    many = {name: value for name, value in t.items() if "norm_1" not in name}
    with pytest.raises(ValueError, match=r"\n  and \d+ more$"):
        published.import_state(many)


def test_what_is_no_published_generator_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.pth").write_bytes(b"no tensors")
    torch.save({"x": torch.ones(1)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"path": Path("runs code")}, tmp_path / "code.pth")
    save_file({"x": torch.ones(1)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    for name, says in {
        "none.pth": "no such checkpoint",
        "broken.pth": "not a file with only tensors",
        "code.pth": "not a file with only tensors",
        "other.pth": r"no published generator: no tensor head_0.* among 1 \(x\)",
        "list.pth": "no published generator",
        "other.safetensors": "no published generator",
        "broken.safetensors": "not a safetensors file",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=rf"{name}: .*{says}"):
            published.read_any(tmp_path / name)


def test_our_own_files_are_read_by_the_same_call(tmp_path: Path) -> None:
    generator = Generator(GeneratorConfig(width=4, stages=1, hidden=4))
    path = checkpoints.save_generator(tmp_path / "g.safetensors", generator, {"image_size": 64})
    loaded, info = published.read_any(path)
    assert loaded.config == generator.config
    assert info == {"source": "this workbench", "image_size": 64}


def test_an_imported_network_lives_on_as_our_file(tmp_path: Path) -> None:
    generator, info = published.import_state(tensors("hifacegan", 4))
    loaded, again = checkpoints.load_generator(checkpoints.save_generator(tmp_path / "g.safetensors", generator, info))
    image = faces(1, 3, 64, 64)
    assert again == info
    assert torch.equal(loaded(image), generator(image))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 5), (50, 95)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_any_size_has_a_picture_of_that_size(variant: str, size: tuple[int, int]) -> None:
    generator, _ = published.import_state(tensors(variant, 3))
    with torch.no_grad():
        out = generator(faces(1, 3, *size))
    assert out.shape == (1, 3, *size)
    assert out.isfinite().all()
    assert out.min() >= 0 and out.max() <= 1


def test_batch_statistics_of_one_value_are_refused_by_their_shape() -> None:
    generator, _ = published.import_state(tensors("spade", 3))
    with pytest.raises(ValueError, match="batch statistics of one value per channel \\(1 x 48 x 1 x 1\\)"):
        generator.train()(faces(1, 3, 20, 20))
    assert generator(faces(2, 3, 20, 20)).isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_numbers_that_are_none_are_refused_before_they_spread(variant: str) -> None:
    generator, _ = published.import_state(tensors(variant, 3))
    image = faces(2, 3, 64, 64)
    image[1, 2, 5, 7], image[0, 0, 0, 0] = float("nan"), float("inf")
    before = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    for mode in (True, False):
        with pytest.raises(ValueError, match="2 of 24576 values are NaN or infinite"):
            generator.train(mode)(image)
    assert all(torch.equal(before[name], buffer) for name, buffer in generator.named_buffers())
    with pytest.raises(ValueError, match="at least one pixel"):
        generator(faces(1, 3, 0, 8))


@pytest.mark.parametrize("bias", [-40.0, 0.0, 40.0])
def test_the_published_gate_does_not_overflow_in_half_precision(bias: float) -> None:
    """exp(12 sigmoid) reaches 162,755 where float16 ends at 65,504; the shifted one is the same ratio."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = LocalImportanceConv2d(4, 6)
    torch.nn.init.constant_(layer.gate[1].bias, bias)
    f = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        coarse = layer(f)
    assert coarse.isfinite().all()
    torch.testing.assert_close(coarse.float(), layer(f), rtol=0.1, atol=0.05)
    assert layer.half()(f.half()).isfinite().all()


def test_gradients_reach_every_parameter_of_every_variant() -> None:
    for variant in VARIANTS:
        generator, _ = published.import_state(tensors(variant, 3))
        generator.train()(faces(2, 3, 64, 64)).square().mean().backward()
        blind = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert blind == [], variant


def test_the_published_instance_norm_is_none() -> None:
    x = 3 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) + 5
    torch.testing.assert_close(normalise(x, "rms"), x / (x.square().mean((2, 3), keepdim=True) + 4).sqrt())


def test_reading_does_not_touch_the_file(tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save(tensors("spade", 3), content)
    (tmp_path / "g.pth").write_bytes(content.getvalue())
    published.read_any(tmp_path / "g.pth")
    assert (tmp_path / "g.pth").read_bytes() == content.getvalue()


def test_lost_counts_of_batches_begin_at_0() -> None:
    """PyTorch before 0.4.1 stored none."""
    old = {name: value for name, value in tensors("spade", 4).items() if "tracked" not in name}
    counts = [b for name, b in published.import_state(old)[0].named_buffers() if name.endswith("tracked")]
    assert counts and all(int(count) == 0 for count in counts)
