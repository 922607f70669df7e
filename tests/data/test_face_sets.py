"""Sets of faces: three kinds of folder, cards, fingerprints, and everything that is wrong with a folder by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.data.face_sets import SetCard, damaged, open_set, set_cards
from hifacegan_lib.degradations.folders import degrade_folder
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.utils.images import load_image, save_image


def faces(folder: Path, names: list[str], size: int = 32) -> Path:
    for n, name in enumerate(names):
        save_image(folder / name, portrait(n, size))
    return folder


def pairs(folder: Path, names: list[str]) -> Path:
    faces(folder / "clean", names)
    faces(folder / "damaged", names)
    return folder


def test_the_sets_of_the_field_have_cards_and_celeba_test_has_two() -> None:
    counts = {name: card.count for name, card in set_cards().items()}
    field = {"celeba_test": 3000, "celeba_test_daefr": 3000, "celebchild": 180, "lfw": 1711, "webphoto": 407}
    assert counts == field | {"wider": 970, "ffhq100": 100}
    cards = set_cards()
    assert "self_celeba_512_v2" in cards["celeba_test_daefr"].source and "GFPGAN" in cards["celeba_test"].source


def test_a_user_adds_a_card_and_a_mistake_in_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"name": "mine", "kind": "no originals", "count": 2}))
    assert set_cards([file])["mine"].count == 2
    file.write_text(json.dumps({"name": "mine", "kind": "blind"}))
    with pytest.raises(ValueError, match=r"mine\.json: kind = 'blind'"):
        set_cards([file])
    with pytest.raises(FileNotFoundError, match="none"):
        set_cards([tmp_path / "none.json"])


def test_a_folder_without_a_card_is_pairs_by_its_subfolders_else_damaged_faces(tmp_path: Path) -> None:
    two = open_set("zwei Gesichter", pairs(tmp_path / "zwei Gesichter", ["ä b.png", "c.png"]), {})
    assert two.card.kind == "pairs" and set(two.clean) == set(two.inputs) == {"ä b", "c"}
    one = open_set("one", faces(tmp_path / "one", ["a.png"]), {})
    assert one.card.kind == "no originals" and len(one) == 1 and not one.clean and not one.made


def test_the_fingerprint_is_of_names_and_bytes_not_of_place_or_order(tmp_path: Path) -> None:
    names = ["a.png", "b.png"]
    first, second = (open_set(n, faces(tmp_path / n, names), {}).fingerprint for n in ("first", "second"))
    assert first == second
    (tmp_path / "second" / "b.png").rename(tmp_path / "second" / "c.png")
    renamed = open_set("second", tmp_path / "second", {}).fingerprint
    save_image(tmp_path / "first" / "b.png", portrait(7, 32))
    assert len({first, renamed, open_set("first", tmp_path / "first", {}).fingerprint}) == 3


def test_a_folder_that_is_not_what_its_name_promises_says_so(tmp_path: Path) -> None:
    card = SetCard(name="known", kind="no originals", count=3, frame=64, fingerprint="0" * 64)
    found = open_set("known", faces(tmp_path / "a", ["a.png"]), {"known": card})
    count, size, mark = found.remarks
    assert "3 faces" in count and "this folder 1" in count
    assert "64 x 64" in size and "32 x 32 (1)" in size
    assert found.fingerprint[:12] in mark and "0" * 12 in mark
    same = card.model_copy(update={"count": 1, "frame": 32, "fingerprint": found.fingerprint})
    assert not open_set("known", tmp_path / "a", {"known": same}).remarks


def test_other_sizes_are_counted(tmp_path: Path) -> None:
    folder = faces(tmp_path / "a", ["a.png", "b.png"])
    save_image(folder / "c.png", np.zeros((20, 30, 3), np.uint8))
    assert open_set("a", folder, {}).conditions["set_sizes"] == "32 x 32 (2), 30 x 20 (1)"


def test_an_unreadable_face_is_named_and_leaves_both_sides(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "a", ["x.png", "y.png"])
    (folder / "clean" / "y.png").write_bytes(b"no picture")
    found = open_set("a", folder, {})
    assert list(found.inputs) == list(found.clean) == ["x"] and "not an image" in found.unreadable["y"]
    (folder / "damaged" / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match="no face can be read"):
        open_set("a", folder, {})


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        ([], "no originals", "no such folder"),
        (["note.txt"], "no originals", "no image file below it"),
        (["a.png", "a.jpg"], "no originals", "two pictures of one name"),
        (["clean/a.png"], "pairs", r"subfolders clean/ and damaged/.*; damaged/ missing"),
        (["a.png"], "pairs", "clean/ and damaged/ missing"),
        (["clean/a.png", "damaged/b.png"], "pairs", r"names do not pair\n.*clean \(1\): a\n.*damaged \(1\): b"),
    ],
)
def test_a_wrong_folder_is_an_error_that_says_what_was_expected(
    files: list[str], kind: str, message: str, tmp_path: Path
) -> None:
    for name in files:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("") if path.suffix == ".txt" else save_image(path, portrait(0, 32))
    card = SetCard.parse({"name": "mine", "kind": kind}, "card")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_set("mine", tmp_path / "set", {"mine": card})


def test_the_inputs_are_those_of_the_command_degrade(tmp_path: Path) -> None:
    folder, recipe = faces(tmp_path / "a", ["deep/a.png", "b.jpg"], 48), load_recipe("face_renov")
    card = {"a": SetCard(name="a", kind="clean")}
    found = damaged(open_set("a", folder, card), recipe, 32, 5, tmp_path / "out")
    degrade_folder(folder, tmp_path / "theirs", recipe, 32, 5)
    for key in ("deep/a", "b"):
        assert np.array_equal(load_image(found.inputs[key]), load_image(tmp_path / "theirs" / f"{key}.png"))
        assert load_image(found.clean[key]).shape == (32, 32, 3)
    assert found.conditions["recipe"] == "face_renov" and found.conditions["set_sizes"] == "32 x 32 (2)"


def test_inputs_stay_until_their_damage_changes(tmp_path: Path) -> None:
    opened = open_set("a", faces(tmp_path / "a", ["a.png"]), {"a": SetCard(name="a", kind="clean")})
    recipe, out = load_recipe("report"), tmp_path / "out"
    first = damaged(opened, recipe, 32, 0, out)
    before, pixels = first.inputs["a"].stat().st_ino, load_image(first.inputs["a"])
    assert damaged(opened, recipe, 32, 0, out).inputs["a"].stat().st_ino == before
    assert not np.array_equal(load_image(damaged(opened, recipe, 32, 1, out).inputs["a"]), pixels)
    assert "enlarged" in damaged(opened, recipe, 64, 0, out).remarks[0]
