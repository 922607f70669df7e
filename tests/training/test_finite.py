"""A number that is none stops the run, by name, before anything is saved."""

from pathlib import Path

import pytest
import torch

from hifacegan_lib.training.finite import Finite


def test_it_is_named_with_step_and_keys_at_the_next_look(tmp_path: Path) -> None:
    finite = Finite(tmp_path)
    finite.see(1, ["a"], {"l1": torch.tensor(1.0)})
    finite.see(2, ["b", "c"], {"l1": torch.tensor(float("nan")), "psnr": torch.tensor(3.0), "x": torch.tensor(1e39)})
    says = r"step 2: l1 is nan, x is inf on \['b', 'c'\]; there is no checkpoint yet"
    with pytest.raises(FloatingPointError, match=says):
        finite.see(3, ["d"], {"l1": torch.tensor(1.0)})


def test_finite_numbers_pass_and_are_looked_at_once(tmp_path: Path) -> None:
    finite = Finite(tmp_path)
    finite.check()
    finite.see(1, [], {"l1": torch.tensor(1.0)})
    finite.check()
    finite.check()


def test_a_loss_scale_that_fell_to_nothing_stops_float16(tmp_path: Path) -> None:
    finite, off = Finite(tmp_path), torch.amp.GradScaler("cpu", enabled=False)
    finite.check_scale(5, off)
    on = torch.amp.GradScaler("cpu", init_scale=2.0**-12)
    with pytest.raises(FloatingPointError, match=r"step 5: every gradient overflows float16 .*try precision bfloat16"):
        finite.check_scale(5, on)
