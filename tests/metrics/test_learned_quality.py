"""Networks of other programs: torchmetrics' and pyiqa's own values, no download unasked, and a command for each."""

import sys
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.image.arniqa import arniqa
from torchvision.models import resnet50

from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics.learned_quality import SOURCES, LearnedQuality, Refused, offline
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.names import DEFAULT_METRICS

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


COMMANDS = {
    "clip_iqa": r"run `pip install 'hifacegan-workbench\[metrics,clip\]'`",
    "arniqa": r"downloads it: `python -c \"from torchmetrics.image.arniqa import ARNIQA; ARNIQA\(\)\"`",
    **dict.fromkeys(("musiq", "maniqa", "topiq", "qalign"), "run `pip install pyiqa`"),
}


class Brightness(nn.Module):
    """Stands in for a network of pyiqa, which returns N x 1."""

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[3] < 32:
            raise RuntimeError("the picture has no patch")
        return image.mean((1, 2, 3))[:, None]


def pyiqa(patch: pytest.MonkeyPatch, create: object) -> None:
    patch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create))


@pytest.mark.parametrize("name", ["musiq", "maniqa", "topiq", "qalign"])
def test_pyiqas_values_are_those_of_its_own_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    pyiqa(monkeypatch, lambda made: asked.append(made) or Brightness())
    metric = LearnedQuality(name)
    for _ in range(2):
        torch.testing.assert_close(metric(IMAGE, IMAGE), IMAGE.mean((1, 2, 3)))
    assert asked == [SOURCES[name].made]


def test_arniqas_values_are_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    def state(address: str, **_: object) -> object:
        torch.manual_seed(0)
        if "regressor" in address:
            part = {"weights": torch.randn(1, 4096), "biases": torch.tensor(0.5)}
            return SimpleNamespace(state_dict=lambda: part)
        return {f"model.{n}": x for n, x in nn.Sequential(*list(resnet50().children())[:-1]).state_dict().items()}

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", state)
    with torch.random.fork_rng():
        found = LearnedQuality("arniqa")(IMAGE, IMAGE)
        expected = arniqa(IMAGE, reduction="none")
    torch.testing.assert_close(found, expected)
    assert found.shape == (2,) and found[0] != found[1]


def test_a_program_that_would_download_is_refused_and_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pyiqa(monkeypatch, lambda _: urlopen("https://nowhere.invalid/musiq.pth"))
    with pytest.raises(
        MetricUnavailable,
        match=r"not there; this downloads it: `python -c \"import pyiqa; pyiqa.create_metric\('musiq'\)\"`",
    ):
        LearnedQuality("musiq")(IMAGE, IMAGE)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nowhere")
    with pytest.raises(Refused), offline():
        urlopen("https://nowhere.invalid/")


def test_what_is_not_installed_or_not_there_is_named_for_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    monkeypatch.setitem(sys.modules, "piq", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("empty")))
    found = standard(list(SOURCES))
    assert not set(SOURCES) & set(DEFAULT_METRICS)
    for name, metric in found.items():
        assert metric.against == "" and metric.higher_is_better and metric.compute
        with pytest.raises(MetricUnavailable, match=COMMANDS[name]):
            metric.compute(IMAGE, IMAGE)
    assert "pyiqa is not installed" in found["musiq"].implementation


def test_one_picture_that_a_network_cannot_take_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pyiqa(monkeypatch, lambda _: Brightness())
    sides = {"a": 64, "small": 16, "b": 64}
    batches = [{"clean": x, "degraded": x, "key": [key]} for key, n in sides.items() for x in [torch.rand(1, 3, n, n)]]
    found = evaluate({}, batches, 100, metrics=standard(["psnr", "musiq"]))
    assert list(found.conditions["failed"]["musiq"]) == ["small"] and "musiq" in found.available
    assert "no patch" in found.conditions["failed"]["musiq"]["small"]


def test_the_commands_load_what_the_metric_loads() -> None:
    for source in SOURCES.values():
        compile(source.command, source.label, "exec")
