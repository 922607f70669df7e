"""Every ``hifacegan ...`` line that help texts and documents show is run as it stands, on small data.

Lines come from fenced and indented blocks and from code spans. ``LINES`` says how each is run; a line that it does not
know fails, and so does an entry that no line needs.
"""

import copy
import filecmp
import inspect
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import published
import pytest
import torch
from skimage import data

from hifacegan_lib import cli, runs, sweeps
from hifacegan_lib.commands.options import overrides
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.data.manifest import Manifest
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.data.shards import write_shards
from hifacegan_lib.metrics import fid_kid
from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.training import perceptual
from hifacegan_lib.utils import images
from hifacegan_lib.utils import weight_registry as weights

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "hifacegan_lib/weights/MODEL_CARD.md", "benchmarks/README.md")
    ),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "params").glob("*/*.yaml")),
]
PLACEHOLDERS = {"FACES": "FACES", "NAME": "face_renov", "PROFILE": "demo", "PHOTO": "family.jpg", "OUT": "restored/"}


class How(NamedTuple):
    """How a line is run.

    Attributes:
        kind: "run" for real; "plan": profile, keys and values are read, no notebook starts; "fetch": the names are
            known, nothing is downloaded; "mention": a command without arguments, its help is asked for.
        more: arguments appended, which make it short.
        leaves: files that must be there afterwards.
        first: files and folders removed before, which the line makes.
        instead: a word of the line and what stands in for it.
    """

    kind: str = "run"
    more: str = ""
    leaves: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    instead: tuple[str, str] = ("", "")


class Means(torch.nn.Module):
    """In the place of Inception, which is a download: each picture's mean, 2048 times."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor]:
        return (image.float().mean((1, 2, 3))[:, None].expand(-1, fid_kid.FEATURES),)


TINY = (
    "-p steps 2 -p decay_steps 1 -p image_size 32 -p width 4 -p widest 2 -p stages 2 -p hidden 4 -p batch_size 2 "
    "-p discriminator_width 4 -p adversary_from 1 -p discriminator_warmup 1 -p accumulate 1 -p workers 0 "
    "-p device cpu -p precision float32 -p progress none"
)
NO_FILES = "-p perceptual_weight 0 -p lpips_weight 0 -p identity_weight 0 -p parts_weight 0"  # losses of downloads
FEW = "-p train_size 2 -p valid_size 2"
LINES = {
    # a notebook takes minutes; `make test` runs them all
    r"run .*": How("plan"),
    r"sweep .*": How("plan"),
    r"notebooks work/": How("run", "", ("work/notebooks/04_training.ipynb", "work/params/demo/04_training.yaml")),
    # hours of training; VGG-19 is a download, but for lines that name a file
    r"train .*perceptual_file .*": How("run", TINY, ("runs/*/result.json",)),
    r"train .*": How("run", f"{TINY} {NO_FILES}", ("runs/*/result.json",)),
    r"params \S+( \S+)?": How("run"),
    r"prepare .* --shards( .*)?": How("run", FEW, ("data/*/shards-*/manifest.json",), ("data",)),
    r"prepare .*": How("run", FEW, ("data/*/manifest.json",), ("data",)),
    r"degrade \S*faces/? damaged/ .*": How("run", "", ("damaged/0001.png", "damaged/traces.json"), ("damaged",)),
    r"replay \S+ \S*0001.png again.png": How("run", "", ("again.png",)),
    r"recipes|recipes --schema|recipes (face_renov|NAME)|recipes face_renov > mine.json": How("run"),
    r"recipes --schema > (?P<file>\S+)": How("run", "", ("{file}",)),
    r"evaluate .*--out (?P<out>\S+)": How("run", "", ("{out}/metrics.json", "{out}/report.html"), ("scores",)),
    r"evaluate --restored (?P<of>\w+)/( .*)?": How("run", "", ("runs/evaluate-{of}/report.html",)),
    # LPIPS is a download
    r"compare \S+ \S+ --metric lpips": How("run", "", ("runs/compare-*/comparison.html",), (), ("lpips", "ssim")),
    r"compare \S+ \S+": How("run", "", ("runs/compare-*/comparison.html",)),
    r"statistics .* (?P<out>\S+\.npz)": How("run", "", ("{out}",)),
    r"benchmark .*--out (?P<out>\S+)( .*)?": How(
        "run", "--metrics psnr ssim", ("{out}/benchmark.html", "{out}/benchmark.md")
    ),
    r"benchmark .* realesrgan-x4plus@size=64 .*": How(  # a download, and minutes
        *("run", "--metrics psnr ssim", ("runs/benchmark/benchmark.html",), ()),
        ("realesrgan-x4plus@size=64", "ema.safetensors"),
    ),
    r"benchmark --methods .*": How("run", "--metrics psnr ssim", ("runs/benchmark/benchmark.html",)),
    r"restore .* --aligned .*": How("run", "", ("restored/0001.png", "restored/restored.jsonl")),
    r"restore clip.mp4 .*": How("run", "", ("restored/clip.mp4",)),
    r"restore (\S+\.jpg|PHOTO|\w+/) .*": How("run", "", ("restored/*.jpg", "restored/restored.jsonl")),
    r"export \S+ (?P<out>\S+) --size 512.*": How("run", "", ("{out}",), (), ("512", "32")),
    r"export \S+ (?P<out>\S+)": How("run", "", ("{out}",), ("face.onnx",)),
    r"doctor .* --out (?P<out>\S+)": How("run", "--size 64 --count 2", ("{out}",), ("safe.safetensors",)),
    r"weights convert \S+ (?P<out>\S+)": How(
        "run", "", ("{out}",), ("vgg.safetensors", "vgg_first_layers.safetensors")
    ),
    r"weights list|weights verify": How("run"),
    r"weights fetch .*": How("fetch"),
    r"(weights convert|restore|export|)( ?--help)?|evaluate( --recogniser)?|compare|statistics|benchmark": How(
        "mention"
    ),
}


EQUAL = {"safe.safetensors": "ema.safetensors"}  # files with the same content
SLOW_AND_DONE: set[str] = set()
"""Exports that succeeded, each with names of EQUAL: the same command on the same content is not run twice."""


def joined(text: str) -> Iterator[str]:
    """The commands of a block: continued lines as one, variables filled in, prompts and what is chained cut off."""
    values = {name: " ".join(value.split()) for name, value in re.findall(r'^(\w+)="([^"]*)"', text, re.MULTILINE)}
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        for name, value in values.items():
            line = line.replace(f"${name}", value)
        for part in re.sub(r"^\s*(example: )?[!$]?\s*", "", line).split(" && "):
            if found := re.match(r"(?:\.venv/bin/)?hifacegan (?P<rest>.+)", part):
                yield without_comment(found["rest"])


def without_comment(line: str) -> str:
    return re.sub(r"(^|\s+)#.*$", "", line).strip()


def lines() -> dict[str, str]:
    """Every command line without ``hifacegan`` -> where it stands first."""
    found: dict[str, str] = {}
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        indented = "\n".join(line for line in rest.splitlines() if line.startswith("    "))
        spans = re.findall(r"`((?:\.venv/bin/)?hifacegan [^`]+)`", rest)
        for block in [*fenced, indented, *(" ".join(span.split()) for span in spans)]:
            for line in joined(block):
                found.setdefault(line, str(path.relative_to(ROOT)))
    for name in (name for name in cli.app if not name.startswith("-")):
        for line in joined(inspect.getdoc(cli.app[name].default_command) or ""):
            found.setdefault(line, f"hifacegan {name} --help")
    return found


FOUND = lines()


def how(line: str) -> tuple[How, dict[str, str]]:
    for pattern, way in LINES.items():
        if match := re.fullmatch(pattern, line):
            return way, match.groupdict()
    raise AssertionError(f"{FOUND.get(line)}: no entry of LINES says how to run: hifacegan {line}")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's folders and files with the names that the lines mention, all of them small."""
    root = tmp_path_factory.mktemp("bench")
    shutil.copytree(ROOT / "params", root / "params")
    (root / "notebooks").mkdir()
    for name in ("hifacegan_lib/weights/face_renov_mixed_128.json", "hifacegan_lib/degradations/recipe.schema.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    _put_pictures(root)
    _put_weights(root)
    for name in ("folder256", "demo", "compact256", "select", "mine"):
        prepare(
            source="synthetic", synthetic_size=32, train_size=4, valid_size=3, data_dir=root / "data" / name,
            progress=False,
        )  # fmt: skip
    write_shards(Manifest.load(root / "data/mine"), root / "data/mine/shards-256-604", 256, 0.85, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        _live_in(root, patch)
        made = [
            "degrade faces damaged --recipe face_renov --size 64",
            "recipes face_renov > mine.json",
            "evaluate --restored theirs --reference clean --degraded damaged --out scores/theirs --metrics psnr ssim",
            "evaluate --restored damaged --reference clean --degraded damaged --out scores/ours --metrics psnr ssim",
        ]
        for line in made:
            assert run(line) == 0
    trace = re.search(r'"0001\.png": (\{.*?\n  \})', (root / "damaged" / "traces.json").read_text(), re.DOTALL)
    assert trace
    (root / "trace.json").write_text(trace[1])
    for name, scores in (("demo", "theirs"), ("demo-lip", "ours")):
        shutil.copytree(root / "scores" / scores, root / "runs" / name, dirs_exist_ok=True)
    return root


def _put_pictures(root: Path) -> None:
    for n in range(1, 5):
        face = portrait(n, 64)
        for folder in ("faces", "clean", "crops", "celeba/clean"):
            images.save_image(root / folder / f"{n:04}.png", face)
        for folder in ("theirs", "results/vqfr", "celeba/damaged"):
            images.save_image(root / folder / f"{n:04}.png", cv2.GaussianBlur(face, (0, 0), 1))
        images.save_image(root / "x4" / f"{n:04}.png", cv2.resize(face, (16, 16), interpolation=cv2.INTER_AREA))
        for key in ("FACES/train", "FACES/valid", "ffhq512/00000", "ffhq512/65000"):
            images.save_image(root / key / f"{key[-5:].lstrip('/')}{n}.png", face)
    (root / "labels.csv").write_text("key,light\n0001,dim\n0002,bright\n")
    shutil.copy(root / "faces" / "0001.png", root / "0001.png")
    photo = data.astronaut()[:260, 60:400]
    for name in ("family.jpg", "old.jpg", "old_photos/one.jpg", "prints/one.jpg", "album/one.jpg"):
        images.save_image(root / name, photo)
    film = cv2.VideoWriter(str(root / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12, (340, 260))
    for _ in range(2):
        film.write(np.ascontiguousarray(photo[..., ::-1]))
    film.release()


def _put_weights(root: Path) -> None:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(width=4, hidden=4, widest=2, stages=2))
    steps = {
        "patches": 6000,
        "whole": 1700,
        "longer": 1336,
        "squares": 2200,
        "demo": 400,
        "mean": 400,
        "folder256": 60000,
    }
    places = [f"runs/{run}/checkpoints/step_{step:06d}/ema.safetensors" for run, step in steps.items()]
    for place in (*places, "ema.safetensors", "safe.safetensors", "lost.safetensors"):
        checkpoints.save_generator(root / place, generator, {"image_size": 32})
    flow = root / "runs" / "flow" / "checkpoints" / "step_000400" / "ema.safetensors"
    checkpoints.save_generator(flow, Flow(generator, copy.deepcopy(generator)), {"image_size": 32})
    torch.save(published.tensors("hifacegan", 4), root / "latest_net_G.pth")
    shapes = {name: tensor.shape for name, tensor in perceptual.empty_first_layers().state_dict().items()}
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, root / "vgg_normalised_conv3_1.pth")
    for name in ("vgg.safetensors", "vgg_first_layers.safetensors"):
        perceptual.convert(root / "vgg_normalised_conv3_1.pth", root / name)


def _live_in(root: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(root)
    for name in ("HIFACEGAN_HOME", "HOME"):
        patch.setenv(name, str(root))
    patch.setattr(torch.hub, "get_dir", lambda: str(root / "hub"))  # nothing was fetched
    patch.setattr(fid_kid, "_inception", lambda: Means())


def words(line: str) -> list[str]:
    """As a shell would split it."""
    return [os.path.expanduser(PLACEHOLDERS.get(word, word)) for word in shlex.split(line)]  # noqa: PTH111


def run(line: str, more: str = "") -> int:
    """The exit code; ``> FILE`` is done here."""
    from contextlib import redirect_stdout
    from io import StringIO

    line, _, file = line.partition(" > ")
    with redirect_stdout(StringIO()) as said:
        code = cli.main([*words(line), *words(more)])
    if file:
        Path(file).write_text(said.getvalue(), encoding="utf-8")
    return code


@pytest.mark.parametrize("line", FOUND, ids=lambda line: f"{FOUND[line]}: {line}"[:90])
def test_a_line_that_is_shown_works(
    line: str, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    way, names = how(line)
    if way.kind == "mention":
        assert cli.main([*line.split()[:1], "--help"]) == 0
        return
    root = shutil.copytree(bench, tmp_path / "bench")
    _live_in(root, monkeypatch)
    _, bound, _ = cli.app.parse_args(words(line.partition(" > ")[0]), exit_on_error=False, print_error=False)
    given = bound.arguments
    if way.kind == "fetch":
        assert set(given["names"]) <= {*weights.REGISTRY, "all"}
    elif way.kind == "plan" and line.startswith("run"):
        runs.load_profile(given["profile"], overrides(given.get("p")))
        assert all(any(name.startswith(part) for name in runs.NOTEBOOKS) for part in given.get("only") or ())
    elif way.kind == "plan":
        _, cells = sweeps.plan(given["notebook"], given["profile"], sweeps.read_grid(given.get("p") or []), "here")
        assert cells
    else:
        for name in way.first:
            shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink(missing_ok=True)
        line = line.replace(*way.instead) if way.instead[0] else line
        key = " ".join(EQUAL.get(word, word) for word in f"{line} {way.more}".split())
        if key in SLOW_AND_DONE:
            assert filecmp.cmp(root / "safe.safetensors", root / EQUAL["safe.safetensors"], shallow=False)
            return
        code = run(line, way.more)
        assert code == 0, f"hifacegan {line}\n{capsys.readouterr().err}"
        for place in way.leaves:
            assert list(root.glob(place.format(**names).lstrip("/"))), f"hifacegan {line}: no {place}"
        if line.startswith("export"):
            SLOW_AND_DONE.add(key)


def test_every_entry_is_needed_and_the_lines_are_found() -> None:
    unused = [pattern for pattern, way in LINES.items() if not any(how(line)[0] is way for line in FOUND)]
    assert not unused
    assert {"run demo", "recipes", "restore clip.mp4 restored/"} <= FOUND.keys()


def test_a_line_that_nobody_knows_fails() -> None:
    with pytest.raises(AssertionError, match="no entry of LINES says how to run: hifacegan teleport"):
        how("teleport face.png")


def test_lines_are_joined_and_cleaned() -> None:
    block = (
        'A="-p x 1\n   -p y 2"\n$ hifacegan run demo $A \\\n    -p z 3   # why\n!cd x && .venv/bin/hifacegan recipes\n'
    )
    assert list(joined(block)) == ["run demo -p x 1 -p y 2 -p z 3", "recipes"]
