"""The weights that ship do what their card says, and the card says what was measured."""

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scripts

from hifacegan_lib.degradations.recipes import Recipe, load_recipe
from hifacegan_lib.models.checkpoints import load_generator
from hifacegan_lib.restoration import pretrained

ROOT = Path(__file__).parents[2]
FILES = sorted(pretrained.FOLDER.glob("*.safetensors"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return scripts.load("model_card")


@pytest.fixture(scope="module")
def numbers(script: ModuleType) -> dict[str, Any]:
    return json.loads(script.NUMBERS.read_text(encoding="utf-8"))


def test_the_card_is_written_from_the_numbers(script: ModuleType, numbers: dict[str, Any]) -> None:
    text = script.CARD.read_text(encoding="utf-8")
    assert text == script.card(numbers), "run: python docs/model_card.py"
    assert not any(f"<{word}>" in text for word in ("TABLE", "GAINS", "GOALS", "WORSE", "HELD"))
    for file in FILES:
        assert hashlib.sha256(file.read_bytes()).hexdigest() in text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_are_small_and_say_whose_they_are(file: Path) -> None:
    assert file.stat().st_size < 16_000_000
    _, info = load_generator(file)
    assert info["image_size"] == pretrained.FRAME
    assert info["license"] == ("Apache-2.0" if file.stem.startswith("open") else "CC BY-NC-SA 4.0")
    assert "/" not in info["recipe"]  # no path of the machine that trained it


@pytest.mark.parametrize("method", [*pretrained.FLAVOURS, "open-256", "vintage-256"])
def test_the_weights_gain_what_was_recorded(script: ModuleType, numbers: dict[str, Any], method: str) -> None:
    recorded, found = {**numbers["held"], "vintage-256": numbers["prints"]["held"]}[method], script.held(method)
    assert list(found) == ["astronaut", *(f"portrait {n}" for n in range(8))] == list(recorded)
    for name, gain in found.items():
        assert gain == pytest.approx(recorded[name], abs=0.05), name  # processors differ in the last bits
    assert found["astronaut"] > 0.5 and np.mean(list(found.values())) > 0.5


def test_the_recipe_of_squares_is_the_mixed_one_with_lengths_doubled() -> None:
    doubled = Recipe.from_json((pretrained.FOLDER / "face_renov_mixed_128.json").read_text(encoding="utf-8"))
    for seed in range(40):
        pairs = zip(
            doubled.sample(seed).operations, load_recipe("face_renov_mixed").sample(seed).operations, strict=True
        )
        for ours, whole in pairs:
            assert ours.op == whole.op
            for (name, value), (_, other) in zip(ours.values, whole.values, strict=True):
                long = name == "length" or (name == "sigma" and "blur" in ours.op)
                assert value == (pytest.approx(2 * float(other), rel=1e-3) if long else other)
