"""Batches of files, through the commands: one item's trouble stays its own, and the whole is planned first.

Right values: outputs = photographs said to be done; every input is unchanged; the second run does nothing.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from standins import real

from hifacegan_lib import cli, runs
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.data.preparation import sample
from hifacegan_lib.degradations.folders import replay_file
from hifacegan_lib.degradations.traces import find_key
from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.batch import JOURNAL, Outcome, Settings, read_journal, restore_folder
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils import files, images, weight_registry
from hifacegan_lib.utils.folder_lock import locked
from hifacegan_lib.utils.inputs import images_in

FACE = data.astronaut()[20:220, 120:330]
SMALL = portrait(1, 32)
DARKER = Model(lambda faces: faces * 0.5, Card("darker", sha256="0" * 64, size=32), "NumPy")
TWINS = ["a.gif", "a.png", "a.bmp", "b.jpg", "b.jpeg", "b.JPG", "deep/a.jfif", "deep/a.jpe", "deep/a.webp"]


def sums(folder: Path) -> dict[str, str]:
    """Every file below a folder with its sha256."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def album(folder: Path, names: list[str] | list[bytes], image: np.ndarray = SMALL) -> Path:
    for number, name in enumerate(names):
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(image, number, 1)).save(path)
    return folder


def restored(folder: Path, out: Path, model: Model = DARKER, **how: object) -> Outcome:
    found = images_in(folder, out)
    overwrite = bool(how.pop("overwrite", False))
    quiet: list[str] = []
    return restore_folder(found.files, found.root, out, model, Settings(aligned=True, **how), overwrite, quiet.append)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = GeneratorConfig(width=4, hidden=4, widest=2)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    return checkpoints.save_generator(path, Generator(config), {"image_size": 16})


def command(name: str, source: Path, out: Path, weights: Path, seed: int = 0) -> list[str]:
    """A batch command that reads ``source``, for a clean copy of it in ``clean`` beside it, and writes ``out``."""
    texts = {
        "aligned": f"restore {source} {out} --weights {weights} --aligned",
        "degrade": f"degrade {source} {out}",
        "evaluate": f"evaluate --restored {source} --reference {source.parent / 'clean'} --out {out} --metrics psnr",
        "prepare": f"prepare -p source folder -p source_path {source} -p data_dir {out} -p seed {seed}"
        " -p train_size 1 -p valid_size 1",
    }
    return texts[name].split()


BAD: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"no image"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:300]),
    "link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere.png")),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("name", ["aligned", "degrade", "evaluate", "prepare"])
def test_a_bad_file_is_named_and_the_good_one_is_done(
    tmp_path: Path, weights: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["a.png", "y.png", "z.png"]
    album(tmp_path / "clean", files)
    source = shutil.copytree(tmp_path / "clean", tmp_path / "in")
    BAD[kind](source / "a.png")
    seed = next(n for n in range(99) if "a.png" in sample(files, 1, 1, n))  # of a preparation that looks at it
    assert cli.main(command(name, source, tmp_path / "out", weights, seed)) == 1
    said = capsys.readouterr()
    assert "a.png: " in said.err and "Error)" in said.err and "Traceback" not in said.err
    if name in ("aligned", "degrade"):
        assert "1 left out" in said.out and (tmp_path / "out" / "z.png").exists()
        assert not (tmp_path / "out" / "a.png").exists()
    elif name == "evaluate":
        assert "2 faces" in said.out
    else:
        found = json.loads((tmp_path / "out" / "manifest.json").read_text())
        assert [entry["key"] for entry in found["files"]] == ["y.png", "z.png"]


def test_a_film_that_fails_is_named_and_leaves_nothing(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no film")
    given = ["restore", str(tmp_path / "clip.mp4"), str(tmp_path / "out"), "--weights", str(weights)]
    assert cli.main(given) == 1
    assert "clip.mp4: not a film that can be decoded (ValueError)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), ZeroDivisionError("odd")])
def test_any_exception_of_one_photograph_leaves_the_others(tmp_path: Path, error: Exception) -> None:
    def network(faces: np.ndarray) -> np.ndarray:
        if faces.max() < 0.1:
            raise error
        return faces

    album(tmp_path / "in", ["b.png", "c.png"])
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "in" / "a.png")
    done = restored(tmp_path / "in", tmp_path / "out", Model(network, Card("odd", size=32)))
    (sentence,) = done.failed
    assert "a.png" in sentence and type(error).__name__ in sentence
    assert [path.name for path in done.written] == ["b.png", "c.png"]


@pytest.mark.parametrize("name", ["aligned", "degrade"])
def test_twins_have_a_file_each_and_the_second_run_does_nothing(
    tmp_path: Path, weights: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = album(tmp_path / "in", TWINS), tmp_path / "in" / "out"
    (source / "again").symlink_to(out, target_is_directory=True)
    before, given = sums(source), command(name, source, out, weights)
    assert cli.main(given) == 0
    once = sums(out)
    assert f"{len(TWINS)} " in capsys.readouterr().out
    assert len(once.keys() - {JOURNAL, "traces.json"}) == len(TWINS)
    assert cli.main(given) == 0
    assert f"{len(TWINS)} done before" in capsys.readouterr().out
    assert sums(out) == once
    assert cli.main([*given, "--overwrite"]) == 0
    assert sums(out).keys() == once.keys()
    assert {file: mark for file, mark in sums(source).items() if not file.startswith("out/")} == before


def test_a_photograph_that_comes_later_gets_the_name_that_is_its_own(tmp_path: Path) -> None:
    source = album(tmp_path / "in", ["a.gif"])
    assert [path.name for path in restored(source, tmp_path / "out").written] == ["a.png"]
    album(source, ["x.png", "a.png"])
    (source / "x.png").unlink()
    done = restored(source, tmp_path / "out")
    assert not done.failed and [path.name for path in done.written] == ["a.gif.png", "a.png"]
    assert restored(source, tmp_path / "out").before == 2


NAMES = st.binary(min_size=1, max_size=9).filter(lambda name: not (b"/" in name or b"\0" in name or name[:1] == b"."))
ENDINGS = st.sampled_from([b".png", b".jpg", b".JPG", b".gif", b".tif", b".png.gif", b"_comparison.jpg", b"_face1.png"])


@given(st.lists(st.tuples(NAMES | st.sampled_from([b"a", "\u2028é".encode()]), ENDINGS), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_file_name_is_restored_and_degraded_once(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[bytes, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    source = album(folder / "in", list(dict.fromkeys(stem + ending for stem, ending in names)))
    count, before = len(sums(source)), sums(source)
    try:
        done = restored(source, folder / "out", comparison=True)
    except ValueError as error:
        assert "both would become" in str(error) and not (folder / "out").exists()
    else:
        assert not done.failed and len(done.written) == 2 * count == len(sums(folder / "out")) - 1
        assert restored(source, folder / "out", comparison=True).before == count
    if cli.main(["degrade", str(source), str(folder / "worse")]) == 0:
        traces = json.loads((folder / "worse" / "traces.json").read_bytes())
        assert len(traces) == count == len(sums(folder / "worse")) - 1
    else:
        assert not (folder / "worse").exists()
    assert sums(source) == before


def test_a_batch_that_would_write_two_photographs_into_one_file_writes_nothing(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = album(tmp_path / "in", ["a.gif", "a.bmp", "a.gif.png"])
    for name in ("aligned", "degrade"):
        assert cli.main(command(name, source, tmp_path / "out", weights)) == 1
        assert "both would become" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_photograph_of_another_folder_does_not_replace_the_first_one_s_result(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("cam1", "cam2")):
        album(tmp_path / name, ["IMG_1.jpg"], np.roll(SMALL, 5 * number, 0))
    for name in ("aligned", "degrade"):
        out = tmp_path / name
        assert cli.main(command(name, tmp_path / "cam1" / "IMG_1.jpg", out, weights)) == 0
        before = sums(out)
        assert cli.main(command(name, tmp_path / "cam2" / "IMG_1.jpg", out, weights)) == 1
        assert "exists already" in capsys.readouterr().err and sums(out) == before
        assert cli.main([*command(name, tmp_path / "cam2" / "IMG_1.jpg", out, weights), "--overwrite"]) == 0
        assert sums(out) != before
    shutil.move(tmp_path / "cam2", tmp_path / "holiday")  # the same bytes elsewhere are the same photograph
    assert cli.main(command("aligned", tmp_path / "holiday" / "IMG_1.jpg", tmp_path / "aligned", weights)) == 0


@pytest.mark.parametrize("name", ["aligned", "degrade", "evaluate", "prepare"])
def test_files_of_other_kinds_are_counted_and_named(
    tmp_path: Path, weights: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    album(tmp_path / "clean", ["a.png", "z.png"])
    source = shutil.copytree(tmp_path / "clean", tmp_path / "in")
    for other in ("b.heic", "deep/c.mp4", "d.HEIC", ".hidden.heic"):
        (source / other).parent.mkdir(exist_ok=True)
        (source / other).write_bytes(b"not read")
    assert cli.main(command(name, source, tmp_path / "out", weights)) == 0
    said = "".join(capsys.readouterr())
    assert "3 files (.heic 2, .mp4 1): b.heic, d.HEIC, deep/c.mp4" in said and "hidden" not in said


@pytest.mark.parametrize("cuts", [range(0, 400, 7), range(3, 2000, 37)], ids=["first lines", "all lines"])
def test_a_journal_cut_at_any_byte_is_completed_by_the_next_run(tmp_path: Path, cuts: range) -> None:
    source = album(tmp_path / "in", ["a\u2028.png", "é.jpg", os.fsdecode(b"\xff.png")])
    restored(source, tmp_path / "out", comparison=True)
    whole, once = (tmp_path / "out" / JOURNAL).read_bytes(), sums(tmp_path / "out")
    for cut in cuts:
        (tmp_path / "out" / JOURNAL).write_bytes(whole[:cut])
        done = restored(source, tmp_path / "out", comparison=True)
        assert not done.failed and done.before + len(done.written) // 2 == 3
        assert read_journal(tmp_path / "out" / JOURNAL).keys() == {"a\u2028.png", "é.jpg", "\udcff.png"}
        assert restored(source, tmp_path / "out", comparison=True).before == 3
        assert {**sums(tmp_path / "out"), JOURNAL: ""} == {**once, JOURNAL: ""}
    lines, journal = read_journal(tmp_path / "out" / JOURNAL), tmp_path / "journal"
    for cut in range(len(whole)):  # at every byte: the rest of the line harms no other line
        journal.write_bytes(whole[:cut])
        for name in lines.keys() - read_journal(journal).keys():
            files.append_line(journal, lines[name])
        assert read_journal(journal) == lines


def test_every_key_replays_to_its_degraded_file_where_names_are_suffixes_of_each_other(tmp_path: Path) -> None:
    source = album(tmp_path / "g", ["1.png", "11.png", "g/1.png", "g/g/1.png", "g/11.png", "x1.png"], FACE)
    assert cli.main(["degrade", str(source), str(tmp_path / "worse")]) == 0
    traces = json.loads((tmp_path / "worse" / "traces.json").read_text())
    for key in traces:
        assert find_key(source / key, traces) == key
        replay_file(tmp_path / "worse" / "traces.json", source / key, tmp_path / "again.png", overwrite=True)
        assert np.array_equal(images.load_image(tmp_path / "again.png"), images.load_image(tmp_path / "worse" / key))


def test_a_degraded_file_of_an_interrupted_batch_is_completed(tmp_path: Path) -> None:
    source, given = album(tmp_path / "in", ["a.png", "b.png"]), ["degrade", str(tmp_path / "in"), str(tmp_path / "out")]
    assert cli.main(given) == 0
    once = sums(tmp_path / "out")
    (tmp_path / "out" / "traces.json").unlink()
    (tmp_path / "out" / "b.png").unlink()
    assert cli.main(given) == 0 and sums(tmp_path / "out") == once and len(sums(source)) == 2


@real("yunet")
def test_the_journal_holds_the_detector_that_was_used_and_a_new_one_restores_anew(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, fetched = album(tmp_path / "in", ["a.png"], FACE), os.environ.get("TORCH_HOME", "")
    given = ["restore", str(source), str(tmp_path / "out"), "--weights", str(weights)]
    for detector, home in (("haar, ", str(tmp_path / "torch")), ("yunet ", fetched)):
        monkeypatch.setenv("TORCH_HOME", home) if home else monkeypatch.delenv("TORCH_HOME")
        assert cli.main(given) == 0
        assert "1 of 1 done" in capsys.readouterr().out
        used = read_journal(tmp_path / "out" / JOURNAL)["a.png"]["settings"]
        assert used["detector"].startswith(detector) and used["weights_sha256"] and used["engine"] and used["versions"]
    assert weight_registry.sha256("yunet") in used["detector"]
    assert cli.main(given) == 0 and "1 done before" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"strength": 0.5}, {"comparison": True}], ids=str)
def test_other_settings_engine_or_weights_restore_anew(tmp_path: Path, change: dict[str, object]) -> None:
    source, out = album(tmp_path / "in", ["a.png"]), tmp_path / "out"
    restored(source, out)
    assert restored(source, out, **change).before == 0
    for model in (replace(DARKER, engine="NumPy, bfloat16"), replace(DARKER, card=replace(DARKER.card, sha256="1"))):
        assert restored(source, out, model, **change).before == 0
        assert restored(source, out, model, **change).before == 1


def test_overwritten_weights_draw_and_are_named_in_the_trace(tmp_path: Path) -> None:
    config, found = GeneratorConfig(width=4, hidden=4, widest=2), []
    for seed in (0, 1):
        generator = Generator(config)
        for weight in generator.parameters():
            weight.data.fill_(0.01 * (seed + 1))
        path = checkpoints.save_generator(tmp_path / "net.safetensors", generator, {"image_size": 16})
        found.append(pretrained.restore(FACE, path, detector="haar"))
        assert found[-1].trace["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found[0].faces and not np.array_equal(found[0].image, found[1].image)


@pytest.mark.parametrize("name", ["aligned", "degrade", "prepare"])
def test_a_second_batch_into_one_folder_is_refused(
    tmp_path: Path, weights: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = album(tmp_path / "in", ["a.png", "b.png"]), tmp_path / "out"
    with locked(out):
        assert cli.main(command(name, source, out, weights)) == 1
        assert f"{out}: another process is writing into this folder" in capsys.readouterr().err
        assert list(sums(out)) == [".lock"]
    assert not out.exists()
    assert cli.main(command(name, source, out, weights)) == 0
    assert not any(path.startswith(".") for path in sums(out))


def test_one_small_pair_is_named_and_the_others_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("theirs", "clean"):
        album(tmp_path / side, ["a.png", "m.png", "z.png"], portrait(2, 48))
        album(tmp_path / side, ["m.png"], portrait(2, 48)[:8, :8])
    given = ["evaluate", "--restored", str(tmp_path / "theirs"), "--reference", str(tmp_path / "clean")]
    assert cli.main([*given, "--metrics", "psnr", "ssim", "--out", str(tmp_path / "scores")]) == 1
    said = capsys.readouterr()
    assert "no SSIM: m: needs sides of at least 11 pixels, got 8 x 8 (TooSmall)" in said.err
    found = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert found["rows"][0]["ssim"] == pytest.approx(1) and not found["conditions"]["unavailable"]
    assert [line["ssim"] is None for line in found["per_image"]] == [False, True, False]


def test_a_moved_evaluation_keeps_the_pictures_of_its_comparison(tmp_path: Path, weights: Path) -> None:
    for side in ("theirs", "ours", "clean"):
        album(tmp_path / "work" / side, ["a.png", os.fsdecode(b"\xff.png")], portrait(len(side), 32))
    for side in ("theirs", "ours"):
        given = command("evaluate", tmp_path / "work" / side, tmp_path / "work" / "scores" / side, weights)
        assert cli.main(given) == 0
    moved = shutil.move(tmp_path / "work", tmp_path / "moved")
    scores = [str(Path(moved) / "scores" / side) for side in ("theirs", "ours")]
    assert cli.main(["compare", *scores, "--out", str(tmp_path / "page")]) == 0
    assert (tmp_path / "page" / "comparison.html").read_text().count('type="range"') == 2


def test_the_user_s_folder_is_expanded(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    album(tmp_path / "in", ["a.png"])
    shutil.copy(weights, tmp_path / "net.safetensors")
    assert cli.main(["restore", "~/in", "~/out", "--weights=~/net.safetensors", "--aligned"]) == 0
    assert (tmp_path / "out" / "a.png").exists()
    assert pretrained.restore("~/in/a.png", "~/net.safetensors", detector="haar").trace["weights"] == "net.safetensors"
    assert runs.project_path("~/x") == runs.data_folder("~/x") == tmp_path / "x"
    assert runs.project_path("~x.png").name == "~x.png"
