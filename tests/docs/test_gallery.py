"""docs/gallery.md: its faces follow its rule, and its pictures stay small."""

import re
from itertools import pairwise
from pathlib import Path

from hifacegan_lib.utils.images import load_image

DOCS = Path(__file__).parents[2] / "docs"
PARTS = ("best", "middle", "worst")


def rows() -> list[list[list[str]]]:
    """The lines of the page's tables: face, damaged, bicubic, Real-ESRGAN, fidelity, realism, open-256.

    The last table has old prints: face, damaged, bicubic, Real-ESRGAN, fidelity, vintage-256.
    """
    blocks = re.findall(r"(?:^\|.*\n)+", (DOCS / "gallery.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [[line.strip("| ").split(" | ") for line in block.splitlines()[2:]] for block in blocks]


def test_the_faces_are_in_the_order_of_their_gain() -> None:
    *parts, prints = rows()
    assert [len(lines) for lines in parts] == [8, 8, 8] and len(prints) == 9
    assert len({line[0] for lines in parts for line in lines}) == 24
    for lines, restored in (([line for part in parts for line in part], 4), (prints, 5)):
        pairs = [[float(line[place].split(" / ")[0]) for place in (restored, 1)] for line in lines]
        gains = [after - before for after, before in pairs]
        assert all(after < before + 0.11 for before, after in pairwise(gains))  # numbers are rounded


def test_the_pictures_have_eight_or_nine_rows_and_take_less_than_a_megabyte() -> None:
    files = [DOCS / f"gallery_{part}.jpg" for part in (*PARTS, "prints")]
    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert load_image(files.pop()).shape == (34 + 9 * 186, 6 * 164 - 4, 3)
    assert {load_image(file).shape for file in files} == {(34 + 8 * 186, 7 * 164 - 4, 3)}
