"""The guard: every exception of an item is named with its type, and nothing else is caught."""

import os
import struct
from pathlib import Path

import cv2
import pytest

from hifacegan_lib.utils.item_guard import ItemGuard, printable, reason


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("in/a.png: no image"), "no image (ValueError)"),
        (struct.error("two\n bytes"), "two bytes (struct.error)"),
        (cv2.error("memory"), "memory (cv2.error)"),
        (MemoryError(), "MemoryError"),
    ],
    ids=repr,
)
def test_an_error_is_its_message_without_the_path_and_its_type(error: Exception, said: str) -> None:
    assert reason(error, Path("in/a.png")) == said


def test_the_next_item_follows_and_only_exceptions_are_caught() -> None:
    told: list[str] = []
    guard, bad = ItemGuard(told.append), os.fsdecode(b"caf\xe9.png")
    for name in (bad, "z.png"):
        with guard.item(name):
            if name == bad:
                raise MemoryError
            told.append(name)
    assert told == [r"left out: caf\udce9.png: MemoryError", "z.png"]
    assert guard.failed == {bad: "MemoryError"} and guard.sentences == [f"{printable(bad)}: MemoryError"]
    with pytest.raises(KeyboardInterrupt), guard.item("a"):
        raise KeyboardInterrupt
