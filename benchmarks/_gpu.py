"""The parts of ``gpu.sh`` as one result: benchmarks/results/gpu-CARD.json, and the card's entry of ``cards.json``."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
from _bench import machine

from hifacegan_lib.models.fused import cards
from hifacegan_lib.utils.files import read_json, write_json


def parts(folder: Path) -> dict[str, dict[str, Any]]:
    """Part -> exit code, seconds, limit, last line; and the numbers, if it came so far."""
    found = {}
    for path in sorted(folder.glob("*.part")):
        lines = path.with_suffix(".log").read_text(encoding="utf-8", errors="replace").splitlines()
        numbers = path.with_suffix(".json")
        found[path.stem] = read_json(path) | {"last_line": lines[-1] if lines else ""}
        found[path.stem] |= {"result": read_json(numbers)} if numbers.exists() else {}
    return found


def verdict(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Whether Triton's kernels passed their tests on the card, and the least of their speed ratios.

    ``slowest_vs_plain``: time of PyTorch's operators over the kernels', the worst shape and dtype; 0: not measured.
    """
    tests, race = found.get("tests", {}), found.get("suppression", {})
    passed = tests.get("code") == 0 and bool(re.search(r"\b[1-9]\d* passed", tests.get("last_line", "")))
    ratio = race.get("result", {}).get("ratios", {}).get("vs_plain") if race.get("code") == 0 else None
    return {"passed": passed, "slowest_vs_plain": ratio or 0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="write into the folder alone")
    choice = parser.parse_args()
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    found = parts(choice.folder)
    record = {"card": card, "machine": machine("numpy", "torch", "triton"), "triton": verdict(found), "parts": found}
    name = f"gpu-{re.sub(r'[^a-z0-9]+', '-', card.lower()).strip('-')}.json"
    keep = not choice.dry_run and card != "none"
    write_json((Path(__file__).parent / "results" if keep else choice.folder) / name, record)
    if keep:
        write_json(cards.FILE, read_json(cards.FILE) | {card: {"result": name, **record["triton"]}})
    failed = [part for part, values in found.items() if values["code"]]
    print(json.dumps({"card": card, **record["triton"], "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
