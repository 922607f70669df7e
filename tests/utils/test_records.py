"""Records refuse what they do not know, and the sentence says where."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from hifacegan_lib.utils.files import parse_json, read_json
from hifacegan_lib.utils.records import Record


class Point(Record):
    x: float
    y: Annotated[int, Field(ge=0)] = 0


class Line(Record):
    name: str
    points: list[Point]


GOOD = {"name": "line", "points": [{"x": 1.5}, {"x": 2, "y": 3}]}


def test_a_record_is_read_and_written_back() -> None:
    line = Line.parse(GOOD, "line.json")
    assert line.points == [Point(x=1.5), Point(x=2, y=3)]
    assert Line.parse(line.model_dump(), "line.json") == line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 3}, "name = 3: it must be a valid string"),
        ({"nane": "line"}, "unknown key 'nane'; known keys: name, points"),
        ({"points": [{"x": 1}, {"x": 1, "y": -1}]}, "points[1].y = -1: it must be greater than or equal to 0"),
        ({"points": [{"x": True}]}, "points[0].x = True: it must be a valid number"),
        ({"points": [{"x": float("nan")}]}, "points[0].x = nan: it must be a finite number"),
        ({"points": [{"y": 1}]}, "points[0]: missing key 'x'; needed keys: x"),
        ({"points": ["x"]}, "points[0] = 'x': expected an object with the keys x, y"),
        ({"points": {}}, "points = {}: it must be a valid list"),
    ],
)
def test_a_mistake_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^line\.json: ") as error:
        Line.parse({**GOOD, **change}, "line.json")
    assert str(error.value) == f"line.json: {said}"


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^line\.json: expected an object with the keys name, points$"):
        Line.parse([], "line.json")


@pytest.mark.parametrize("text", ["", "{", '{"a": 1, "a": 1}', b"\xff"])
def test_json_that_is_broken_or_says_a_key_twice_is_named(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^my\.json: not JSON"):
        parse_json(text, "my.json")
    path = tmp_path / "it.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"it\.json: not JSON"):
        read_json(path)
