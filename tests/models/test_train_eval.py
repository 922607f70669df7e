"""The two halves of train() and eval(): what each measures, and the network without them."""

import dataclasses

import golden
import numpy as np
import pytest
import torch
from published import faces, ours, tensors

from hifacegan_lib.models import published, train_eval
from hifacegan_lib.models.generator import Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return published.import_state(tensors("hifacegan", 4))[0]


def test_true_sigma_is_the_largest_singular_value(generator: Generator) -> None:
    layers = generator.spectral_layers()
    found = train_eval.spectral_sigmas(generator)
    assert list(found.index) == list(layers)
    for sigma in found.itertuples():
        matrix = published.spectral_parts(layers[sigma.Index])[0]
        assert sigma.true == pytest.approx(torch.linalg.svdvals(matrix)[0].item(), rel=1e-5)
        assert sigma.stored <= sigma.true * (1 + 1e-5)  # of unit vectors
        assert sigma.deviation == pytest.approx(1 - sigma.stored / sigma.true, abs=1e-5)


def test_drift_is_measured_in_running_deviations() -> None:
    generator, batch = published.import_state(tensors("spade", 4))[0], faces(4, 3, 64, 64)
    statistics = train_eval.batch_statistics(generator, batch)
    for name, module in generator.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            mean, variance = statistics[name]
            module.running_mean.copy_(mean)
            module.running_var.copy_(variance)
    assert train_eval.batch_norm_drift(generator, batch)["size"].max() < 1e-5
    layer = generator.replenish[5].norm_0.batch_norm
    layer.running_mean.add_(3 * (layer.running_var + 1e-5).sqrt())
    layer.running_var.mul_(4).add_(3e-5)
    found = train_eval.batch_norm_drift(generator, batch)
    worst = found.loc["replenish.5.norm_0.batch_norm"]
    assert worst["mean"] == pytest.approx(1.5, rel=1e-3)  # of deviations that are now twice as large
    assert worst["spread"] == pytest.approx(np.log(2), rel=1e-3)
    assert (found["size"].drop(worst.name) < 1e-5).all()


def test_statistics_of_one_chunk_are_those_that_train_uses(generator: Generator) -> None:
    batch = faces(3, 3, 64, 64)
    still = train_eval.eval_safe(generator, batch)
    together = train_eval.draw(generator, batch, statistics=True, step=True, together=True)
    assert (still(batch) - together).abs().max() <= 1e-4


def test_statistics_of_the_first_layer_do_not_depend_on_chunks(generator: Generator) -> None:
    batch = faces(5, 3, 64, 64)
    whole, parts = (
        train_eval.batch_statistics(generator, batch, chunk)["replenish.5.norm_0.batch_norm"] for chunk in (5, 2)
    )
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("frozen", [True, False])
def test_an_eval_safe_network_draws_one_picture_in_any_mode_and_company(generator: Generator, frozen: bool) -> None:
    batch = faces(3, 3, 64, 64)
    safe = train_eval.eval_safe(generator, batch if frozen else None)
    assert (safe.config.norm, safe.config.spectral_norm) == ("frozen" if frozen else "instance", False)
    with torch.no_grad():
        judged, trained, again = safe(batch), safe.train()(batch), safe(batch)
        alone = torch.cat([safe(face[None]) for face in batch])
    assert torch.equal(judged, trained)
    assert torch.equal(judged, again)
    assert (judged - alone).abs().max() <= 1e-4  # sums in another order
    if not frozen:  # what the authors' way of testing draws
        expected = train_eval.draw(generator, batch, statistics=True, step=True)
        assert (judged - expected).abs().max() <= 1e-4


def test_our_own_networks_keep_their_picture_to_the_last_digit_but_rounding() -> None:
    batch = faces(2, 3, 32, 32)
    for network in (ours(), ours(spectral_norm=True, skip=False), ours(norm="layer")):
        safe = train_eval.eval_safe(network, batch)
        assert safe.config == dataclasses.replace(network.config, spectral_norm=False)
        assert (safe(batch) - network(batch)).abs().max() <= 1e-6


@pytest.mark.parametrize(("statistics", "step"), [(False, False), (False, True), (True, False), (True, True)])
def test_the_recorded_picture_of_each_half(generator: Generator, statistics: bool, step: bool) -> None:
    before, image = {k: v.clone() for k, v in generator.state_dict().items()}, golden.faces(2, 3, 64, 64)
    alone = train_eval.draw(generator, image, statistics, step)
    golden.check(f"models: drawn, statistics {statistics}, step {step}", alone)
    together = train_eval.draw(generator, image, statistics, step, together=True)
    assert torch.equal(together, alone) != statistics or (together - alone).abs().max() < 1e-4
    assert all(torch.equal(before[k], v) for k, v in generator.state_dict().items()) and not generator.training


def test_statistics_of_batches_by_numpy() -> None:
    network, batch, seen = ours(norm="batch"), golden.faces(5, 3, 16, 16), []
    layer = network.replenish[2].norm_0.batch_norm
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double().numpy()))
    found = train_eval.batch_statistics(network, batch, chunk=2)["replenish.2.norm_0.batch_norm"]
    handle.remove()
    values = np.concatenate(seen)
    assert [len(x) for x in seen] == [2, 2, 1]
    np.testing.assert_allclose(found[0], values.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(found[1], values.var((0, 2, 3)), atol=1e-6)
    assert len(train_eval.batch_statistics(network, batch)) == 6 and not train_eval.batch_statistics(ours(), batch)
