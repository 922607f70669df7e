import importlib.metadata
import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()


def test_the_lock_file_is_plain_names_and_versions() -> None:
    assert [line for line in LOCK if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.]*", line)] == []
    names = [line.split("==")[0] for line in LOCK]
    assert names == sorted(set(names), key=names.index), "a name twice"


def test_everything_that_the_project_asks_for_is_locked_within_its_bounds() -> None:
    locked = dict(line.split("==") for line in LOCK)
    asked = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    for requirement in map(Requirement, asked):
        name = requirement.name.lower().replace("_", "-")
        assert name in locked, requirement
        assert requirement.specifier.contains(locked[name]), requirement


def test_the_environment_has_the_locked_versions() -> None:
    locked = dict(line.split("==") for line in LOCK)
    differ = {}
    for requirement in map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]):
        version = importlib.metadata.version(requirement.name)
        if version.split("+")[0] != locked[requirement.name.lower().replace("_", "-")]:
            differ[requirement.name] = version
    assert not differ, "installed otherwise than requirements.lock says; run `make setup`"


def test_conda_asks_for_the_same() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *own, pip = conda["dependencies"]
    assert own == [f"python{PROJECT['requires-python']}", "pip"]
    assert pip["pip"] == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
