from pathlib import Path

import pytest

from hifacegan_lib import params, runs

ROOT = Path(__file__).parents[1]
PROFILES = ["colab", "compact256", "demo", "ffhq512", "folder256", "folder64", "shipped256"]
FILES = [(profile, notebook) for profile in PROFILES for notebook in params.NOTEBOOKS]
FILES.remove(("shipped256", "04_training"))  # it judges weights that are there


@pytest.mark.parametrize(("profile", "notebook"), FILES)
def test_every_profile_has_valid_parameters_for_every_notebook(profile: str, notebook: str) -> None:
    path = ROOT / "params" / profile / f"{notebook}.yaml"
    p = params.NOTEBOOKS[notebook].from_yaml(path)
    assert p.profile == profile
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    for word in ("expected:", "cost:", "papermill notebooks/", f"-f params/{profile}/{notebook}.yaml"):
        assert word in head, f"{path} does not open with its {word}"


def test_there_are_no_other_files_below_params() -> None:
    found = {p.relative_to(ROOT / "params").as_posix() for p in (ROOT / "params").rglob("*") if p.is_file()}
    found = {path for path in found if not path.startswith("recipes/")}  # the user's own
    assert found == {f"{profile}/{notebook}.yaml" for profile, notebook in FILES}


@pytest.mark.parametrize("notebook", params.NOTEBOOKS)
def test_the_demo_profile_is_the_defaults(notebook: str) -> None:
    model = params.NOTEBOOKS[notebook]
    assert model.from_yaml(ROOT / "params" / "demo" / f"{notebook}.yaml") == model()


@pytest.mark.parametrize("profile", PROFILES)
def test_notebooks_of_a_profile_agree_on_what_they_share(profile: str) -> None:
    loaded = runs.load_profile(profile)
    for key in ("data_dir", "run_name", "image_size", "recipe", "seed", "device"):
        values = {p.model_dump()[key] for p in loaded.values() if key in type(p).model_fields}
        assert len(values) == 1, f"{profile}: {key} is {values}"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_judges_the_network_that_it_trains(profile: str) -> None:
    loaded = {name: p.model_dump() for name, p in runs.load_profile(profile).items()}
    trains = "04_training" in loaded
    assert trains == (loaded["05_evaluation"]["checkpoint"] == "")
    if loaded["05_evaluation"]["image_size"] > 64:  # below, notebook 06 shows the weights that ship, and says so
        assert trains == (loaded["06_photo_restoration"]["weights"] == "")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stepz": 5}, "f.yaml: unknown key 'stepz'; known keys: .*steps"),
        ({"steps": "many"}, "f.yaml: steps = 'many': .*valid integer.*allowed: integer, at least 1"),
        ({"steps": 0}, "f.yaml: steps = 0: .*allowed: integer, at least 1"),
        ({"lr_generator": "1e-4"}, "f.yaml: lr_generator = '1e-4': .*YAML reads 1e-4 as text; write 0.0001"),
        ({"lr_generator": "2e-5"}, r"f.yaml: lr_generator = '2e-5': .*YAML reads 2e-5 as text; write 2\.e-05"),
        ({"flip_probability": 1.5}, "f.yaml: flip_probability = 1.5: .*allowed: number, at least 0, at most 1"),
        ({"suppression": "involution"}, "f.yaml: suppression = 'involution': .*'inner_product', 'lip' or 'conv'"),
        ({"steps": 10, "decay_steps": 20}, "f.yaml: decay_steps = 20 must not exceed steps = 10"),
        ({"device": "tpu"}, "f.yaml: device = 'tpu'"),
        ({"resume": "yes"}, "f.yaml: resume = 'yes'"),
    ],
)
def test_bad_values_name_file_key_and_what_is_allowed(values: dict, says: str) -> None:
    with pytest.raises(params.ParamsError, match=says):
        params.Training.checked(values, "f.yaml")


def test_sources_must_be_named() -> None:
    with pytest.raises(params.ParamsError, match="source_path must name a folder"):
        params.DataPreparation.checked({"source": "folder"}, "f.yaml")
    with pytest.raises(params.ParamsError, match="dataset_name must name a dataset"):
        params.DataPreparation.checked({"source": "hub"}, "f.yaml")


def test_a_notebooks_namespace_is_checked_whole() -> None:
    namespace = {**params.ModulePrototyping().model_dump(), "_": 1, "In": [], "params": params}
    assert params.ModulePrototyping.from_namespace(namespace) == params.ModulePrototyping()
    with pytest.raises(params.ParamsError, match="unknown key 'windoww'"):
        params.ModulePrototyping.from_namespace({**namespace, "windoww": 5})
    del namespace["window"]
    with pytest.raises(params.ParamsError, match="missing window"):
        params.ModulePrototyping.from_namespace(namespace)


@pytest.mark.parametrize(("text", "says"), [("steps: [", "not valid YAML"), ("- 1", "expected `key: value` lines")])
def test_files_that_are_no_parameters_are_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(params.ParamsError, match=rf"p\.yaml: {says}"):
        params.Training.from_yaml(tmp_path / "p.yaml")


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("")
    assert params.Training.from_yaml(tmp_path / "p.yaml") == params.Training()
    with pytest.raises(params.ParamsError, match=r"none\.yaml: cannot be read"):
        params.Training.from_yaml(tmp_path / "none.yaml")
