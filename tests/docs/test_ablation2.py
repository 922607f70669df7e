"""docs/ablation2.py: its plan and its arithmetic; docs/ablation2.md: its tables agree with each other."""

import re
from types import ModuleType

import pandas as pd
import pytest
import scripts

import hifacegan_lib as hf


@pytest.fixture(scope="module")
def ablation() -> ModuleType:
    return scripts.load("ablation2")


COSTS = {
    objective: {"inner_product": 0.5, "lip": 0.55, "conv": 0.44, "NAFNet": 1.1}
    for objective in ("pixels", "flow", "adversarial")
}


def test_equal_time_gives_each_network_its_own_steps_and_equal_steps_those_of_the_papers_encoder(
    ablation: ModuleType,
) -> None:
    plan = list(ablation.sweeps(COSTS))
    assert len(plan) == len(set(plan)) == 3 * (4 + 3) + 4
    steps = {"inner_product": 1320, "lip": 1200, "conv": 1500, "NAFNet": 600}
    for budget, _, network, count in plan:
        assert count == steps[network if budget == "time" else "inner_product"]


@pytest.mark.parametrize("objective", ["pixels", "adversarial"])
def test_cells_have_valid_parameters_that_differ_only_in_the_network(ablation: ModuleType, objective: str) -> None:
    cells = [ablation.parameters(network, objective, 100) for network in ablation.NETWORKS]
    for values in cells:
        hf.load_params("folder64", "04_training", **values)
    keys = {key for values in cells for key in values}
    apart = {key for key in keys if any(values.get(key) != cells[0].get(key) for values in cells)}
    assert apart == {"network", "network_options", "suppression"}


def test_a_difference_is_paired_by_face_and_has_its_interval_over_faces(ablation: ModuleType) -> None:
    paper = {0: {"psnr": [20.0, 22.0, 24.0], "identity": [0.5, None, 0.7]}}
    ours = {0: {"psnr": [21.0, 22.0, 26.0], "identity": [0.6, 0.1, 0.6]}}
    half = 4.302653 / 3**0.5  # Student's t of 3 faces: 1, 0, 2 have a standard deviation of 1
    assert ablation.less(ours, paper, "psnr", 3) == f"+1.000 ± {half:.3f}"
    assert ablation.less(ours, paper, "identity", 2).startswith("+0.00 ± ")  # the face without a value is left out


def test_seeds_are_compared_one_by_one_and_a_seed_that_one_network_lacks_is_left_out(ablation: ModuleType) -> None:
    paper = {seed: {"psnr": [20.0, 21.0]} for seed in (0, 1, 2)}
    ours = {0: {"psnr": [21.0, 22.0]}, 2: {"psnr": [20.0, 21.5]}}
    assert ablation.less(ours, paper, "psnr", 2) == "+0.62 ± 1.59 (+1.00, +0.25)"  # faces: 0.5 and 0.75
    assert ablation.mean(ours, "psnr", 3) == "21.125"


def tables() -> list[list[dict[str, str]]]:
    """The page's tables, each a list of rows: column -> cell."""
    blocks = re.findall(r"(?:^\|.*\n)+", (scripts.DOCS / "ablation2.md").read_text(encoding="utf-8"), re.MULTILINE)
    rows = [
        [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()] for block in blocks
    ]
    return [[dict(zip(head, line, strict=True)) for line in lines] for head, _, *lines in rows]


def test_the_tables_of_the_page_agree_with_each_other(ablation: ModuleType) -> None:
    costs, *found = tables()
    seconds = {row.pop("seconds of a step"): {name: float(value) for name, value in row.items()} for row in costs}
    steps = {(b, o, n): count for b, o, n, count in ablation.sweeps(seconds)}
    assert list(seconds) == list(ablation.OBJECTIVES)
    objectives = [*seconds, "adversarial"]  # the last in float32
    for objective, means, less in zip(objectives, found[::2], found[1::2], strict=True):
        assert means[0]["network"] == "input"
        rows = {(row["network"], row["equal"]): row for row in means[1:]}
        paper = next(iter(rows.values()))
        assert paper["network"] == ablation.PAPER and paper["equal"] == ("steps" if len(rows) == 4 else "both")
        for (network, equal), row in rows.items():
            planned = steps["time" if network == ablation.PAPER else equal, objective, network]
            assert abs(int(row["steps"].replace(",", "")) - planned) <= 10  # the page's seconds are rounded
        for line in less:
            row = rows[line["less the paper's encoder"], line["equal"]]
            for metric, digits in ablation.METRICS.items():
                if row["seeds"] == paper["seeds"] and metric != "identity":  # which some faces lack
                    apart = float(row[metric]) - float(paper[metric])
                    assert float(line[metric].split()[0]) == pytest.approx(apart, abs=1.01 * 10**-digits)


def test_the_tables_in_float32_are_those_of_the_values_of_each_face(ablation: ModuleType) -> None:
    values = pd.read_csv(scripts.DOCS / "ablation2_adversarial_in_float32.csv")
    runs = {
        network: {seed: lines.to_dict("list") for seed, lines in of_network.groupby("seed")}
        for network, of_network in values.groupby("network")
    }
    means, less = tables()[-2:]
    for row in means:
        assert row["seeds"] in ("", str(len(runs[row["network"]])))
        for metric, digits in ablation.METRICS.items():
            assert row[metric] == ablation.mean(runs[row["network"]], metric, digits)
    for line in less:
        ours = runs[line["less the paper's encoder"]]
        for metric, digits in ablation.METRICS.items():
            assert line[metric] == ablation.less(ours, runs[ablation.PAPER], metric, digits)
