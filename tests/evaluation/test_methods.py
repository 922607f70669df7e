"""The methods of a benchmark: words, labels, settings, and outputs that are drawn once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.evaluation import baselines
from hifacegan_lib.evaluation.methods import Word, classical, of_callable, open_method, outputs, parse
from hifacegan_lib.restoration.pretrained import load_model
from hifacegan_lib.utils.images import load_image, resize, save_image, to_float, to_uint8


def inputs(folder: Path, count: int = 3) -> dict[str, Path]:
    return {f"Gesicht ä{n}": save_image(folder / f"Gesicht ä{n}.png", portrait(n, 32)) for n in range(count)}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("compact-256", Word("compact-256", "compact-256")),
        ("compact-256@blend=1", Word("compact-256@blend=1", "compact-256", {"blend": 1.0})),
        ("mine=compact-256@blend=.5", Word("mine", "compact-256", {"blend": 0.5})),
        ("bicubic@factor=3", Word("bicubic@factor=3", "bicubic", {"factor": 3.0})),
        ("results/vq frü/", Word("vq frü", "results/vq frü/")),
        ("a=results/vq frü", Word("a", "results/vq frü")),
        ("odd@x=1", Word("odd@x=1", "odd@x=1")),
        ("net.onnx@blend=1", Word("net@blend=1", "net.onnx", {"blend": 1.0})),
    ],
)
def test_a_word_is_a_label_a_name_and_settings(
    text: str, word: Word, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("results/vq frü", "odd@x=1"):
        Path(folder).mkdir(parents=True)
    Path("net.onnx").touch()
    assert parse(text) == word


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gfpgan.pth", r"'gfpgan.pth': unknown: expected a file, a folder, weights by name \(compact-256"),
        ("", "unknown"),
        ("compact-256@blend=2", r"blend = 2: expected 0 \(fidelity\) to 1"),
        ("compact-256@blend=nan", "blend = nan: expected 0"),
        ("compact-256@blend=x", "'blend=x': expected blend=NUMBER"),
        ("compact-256@blend", "expected blend=NUMBER"),
        ("compact-256@size=8", "size = 8: expected a whole number of pixels, at least 16"),
        ("compact-256@size=nan", "size = nan: expected a whole number"),
        ("compact-256@steps=1.5", "steps = 1.5: expected a whole number, at least 1"),
        ("bicubic@sharp=2", "unknown setting 'sharp'; there are: factor"),
        ("input=bicubic", "label 'input' cannot be used"),
    ],
)
def test_a_wrong_word_is_an_error_that_names_it(text: str, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        parse(text)


def test_faces_are_shown_to_a_network_at_the_size_that_is_set() -> None:
    assert open_method(parse("compact-256")).card["size"] == 256
    small = open_method(parse("compact-256@size=64"))
    assert small.card["resizing"].startswith("the shorter side is brought to 64 pixels and back")
    face = portrait(1, 128)
    (drawn,) = small.draw([face])
    shown = load_model("compact-256").network(to_float(resize(face, 64, 64))[None].numpy())
    assert np.array_equal(drawn, resize(to_uint8(torch.from_numpy(shown)[0]), 128, 128))


def test_classical_restorers_have_stated_settings_and_work() -> None:
    face = portrait(0, 32)
    for name, setting in baselines.DEFAULTS.items():
        ready = open_method(parse(name))
        assert ready.card["settings"] == setting and ready.card["settings_are"] == "default" and ready.draw
        (drawn,) = ready.draw([face])
        assert drawn.shape == face.shape and not np.array_equal(drawn, face)
    assert open_method(parse("bicubic@factor=1.5")).card["settings"] == {"factor": 1.5}


def test_the_bilateral_filter_keeps_constant_faces_and_refuses_bad_settings() -> None:
    flat = torch.full((1, 3, 16, 16), 100 / 255)
    assert torch.equal(baselines.bilateral(flat, 5, 20, 2), flat)
    with pytest.raises(ValueError, match="diameter = 4"):
        baselines.bilateral(flat, 4, 20, 2)


def test_a_network_takes_faces_of_any_size_and_gives_them_back() -> None:
    ready = open_method(parse("compact-256"))
    assert ready.card["sha256"] and ready.draw
    drawn = ready.draw([portrait(0, 40), portrait(1, 40)[:30]])
    assert [face.shape for face in drawn] == [(40, 40, 3), (30, 40, 3)]


def test_outputs_are_drawn_once_and_again_when_anything_changed(tmp_path: Path) -> None:
    files, drawn = inputs(tmp_path / "in"), []
    ready = classical("bicubic", "bicubic", {"factor": 2}, "given")

    def count(ready: object, made: dict[str, object], folder: str = "out") -> int:
        draw, seen = ready.draw, list[int]()  # type: ignore[attr-defined]
        counted = type(ready)(ready.label, ready.card, lambda faces: seen.append(len(faces)) or draw(faces))  # type: ignore
        drawn.append(outputs(counted, "set", files, made, tmp_path / folder))
        return sum(seen)

    assert count(ready, {"a": 1}) == 3
    assert count(ready, {"a": 1}) == 0
    next(iter(drawn[0].values())).unlink()
    assert count(ready, {"a": 1}) == 1  # goes on where it stopped
    assert count(ready, {"a": 2}) == 3
    assert count(classical("bicubic", "bicubic", {"factor": 3}, "given"), {"a": 2}) == 3
    unknown = of_callable("mine", lambda x: x)
    assert count(unknown, {"a": 1}, "mine") == count(unknown, {"a": 1}, "mine") == 3
    assert all(np.array_equal(load_image(drawn[-1][key]), load_image(files[key])) for key in files)


def test_a_face_that_fails_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    files = inputs(tmp_path / "in")
    dark = float(load_image(files["Gesicht ä1"]).mean()) / 255

    def method(x: torch.Tensor) -> torch.Tensor:
        return x * torch.nan if abs(float(x.mean()) - dark) < 1e-6 else x

    with pytest.raises(ValueError, match=r"no output for 1 of 3 faces: Gesicht ä1: .*nan"):
        outputs(of_callable("m", method), "set", files, {}, tmp_path / "out")
    assert len(list((tmp_path / "out" / "outputs").iterdir())) == 2


def test_results_of_somebody_lie_in_a_folder_or_in_one_for_the_set(tmp_path: Path) -> None:
    files = inputs(tmp_path / "in")
    theirs = inputs(tmp_path / "vq fr" / "lfw")
    ready = open_method(parse(str(tmp_path / "vq fr")))
    assert outputs(ready, "lfw", files, {}, tmp_path / "out") == theirs
    theirs["Gesicht ä2"].unlink()
    ready = open_method(parse(str(tmp_path / "vq fr")))
    assert ready.card["name"] == "vq fr"
    with pytest.raises(ValueError, match="no picture for 1 of 3 faces: Gesicht ä2"):
        outputs(ready, "lfw", files, {}, tmp_path / "out")
    with pytest.raises(ValueError, match="no picture for 3 of 3 faces"):
        outputs(ready, "other", files, {}, tmp_path / "out")
