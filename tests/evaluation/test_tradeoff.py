"""The settings of a restorer between pixels and sharpness."""

import pytest
import torch
from torch import nn

from hifacegan_lib.evaluation import scoring, tradeoff
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.reports import evaluation_plots
from hifacegan_lib.restoration import pretrained

FACES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_flow_is_drawn_in_several_numbers_of_steps_and_plotted() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flow = Flow(nn.Identity(), Generator(GeneratorConfig(width=4, stages=1, hidden=4)), steps=3).eval()
        nn.init.normal_(flow.network.draw.weight, 0, 0.1)
    found = tradeoff.settings(flow)
    assert list(found) == ["1 steps", "2 steps", "5 steps", "10 steps", "25 steps"] and flow.steps == 3
    with torch.no_grad():
        drawn = {name: method(FACES) for name, method in found.items()}
        flow.steps = 5
        assert torch.equal(drawn["5 steps"], flow(FACES)) and not torch.equal(drawn["1 steps"], drawn["5 steps"])
    batch = {"clean": FACES, "degraded": (FACES + 0.1).clamp(0, 1), "key": ["a", "b"]}
    judged = scoring.evaluate(found, [batch], metrics=standard(("psnr", "ssim")))
    (axis,) = evaluation_plots.tradeoff(judged).axes
    assert [text.get_text() for text in axis.texts] == list(found)
    assert axis.lines[0].get_xdata() == pytest.approx([row["psnr"] for row in judged.rows[1:]])


def test_shipped_weights_are_blended_and_other_networks_have_no_setting() -> None:
    found = tradeoff.settings(None, "compact-256-realism")
    assert list(found) == ["blend 0", "blend 0.25", "blend 0.5", "blend 0.75", "blend 1"]
    assert torch.equal(found["blend 1"](FACES), pretrained.load_model("compact-256", 1.0).network(FACES))  # type: ignore[arg-type]
    assert tradeoff.settings(nn.Identity(), "") == tradeoff.settings(nn.Identity(), "mine.safetensors") == {}
