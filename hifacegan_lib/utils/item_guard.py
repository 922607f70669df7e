"""The guard around each item of a batch: an exception is named with file and type, and the next item follows.

guard = ItemGuard(print)
for path in paths:
    with guard.item(path):
        ...
return 1 if guard.failed else 0
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class ItemGuard:
    """The items of a batch that failed.

    Attributes:
        report: gets a sentence for each failure.
        failed: name of the item -> reason.
    """

    report: Callable[[str], object] = lambda _: None
    failed: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def item(self, name: str | Path, file: str | Path | None = None) -> Iterator[None]:
        """Catch every exception of the block, MemoryError too; Ctrl-C and SystemExit end the batch.

        Args:
            name: of the item; ``file``: its file, where the name is another.
        """
        try:
            yield
        except Exception as error:
            self.failed[str(name)] = reason(error, file or name)
            self.report(f"left out: {printable(name)}: {printable(self.failed[str(name)])}")

    @property
    def sentences(self) -> list[str]:
        """Each failure: name and reason."""
        return [printable(f"{name}: {reason}") for name, reason in self.failed.items()]


def reason(error: Exception, file: str | Path) -> str:
    """An error's message and type, without the path at its beginning: the same on every machine."""
    message, kind = " ".join(str(error).removeprefix(f"{file}: ").split()), type(error).__name__
    kind = f"{type(error).__module__}.error" if kind == "error" else kind  # cv2's and struct's
    return f"{message} ({kind})" if message else kind


def printable(name: str | Path) -> str:
    """A file's name as valid text: bytes that are not UTF-8 become ``\\udcff``."""
    return str(name).encode("utf-8", "backslashreplace").decode()
