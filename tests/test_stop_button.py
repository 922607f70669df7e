"""A notebook's stop button, in a real kernel: the cell ends in order, all is saved, and the next run goes on."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from hifacegan_lib.models import checkpoints

SETUP = """
from hifacegan_lib import pipeline
from hifacegan_lib.params import DataPreparation, Training
faces = {"data_dir": "data/tiny", "synthetic_size": 32, "train_size": 8, "valid_size": 8}
pipeline.prepare_data(DataPreparation.checked(faces, "test"))
small = {"data_dir": "data/tiny", "image_size": 16, "width": 4, "hidden": 4, "batch_size": 2, "run_name": "stopped"}
p = Training.checked({**small, "steps": 100000, "decay_steps": 0, "log_every": 5, "checkpoint_every": 100000,
                      "picture_every": 100000, "adversarial_weight": 0.0, "feature_matching_weight": 0.0}, "test")
"""


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # jupyter_client leaves sockets to the collector
def test_the_stop_button_saves_and_returns(tmp_path: Path) -> None:
    manager, client = start_new_kernel(env={**os.environ, "HIFACEGAN_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"})
    try:
        assert client.execute_interactive(SETUP, timeout=120, output_hook=print)["content"]["status"] == "ok"
        client.execute("folder = pipeline.train_model(p)")
        journal = tmp_path / "runs" / "stopped" / "metrics.jsonl"
        patience = time.monotonic() + 120
        while not (journal.exists() and journal.read_text().count("\n") >= 2):
            assert time.monotonic() < patience, "no step in two minutes"
            time.sleep(0.05)
        manager.interrupt_kernel()
        told: list[str] = []
        while True:
            message: dict[str, Any] = client.get_iopub_msg(timeout=60)
            assert message["msg_type"] != "error", message["content"]
            if message["msg_type"] == "stream":
                told.append(message["content"]["text"])
            ended = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            if ended and "stopped by SIGINT" in "".join(told):
                break
        reply = client.execute_interactive("assert folder.name == 'stopped'", timeout=60)
        assert reply["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    (saved,) = checkpoints.list_complete(tmp_path / "runs" / "stopped" / "checkpoints")
    last = json.loads(journal.read_text().splitlines()[-1])["step"]
    assert checkpoints.load_state(saved)["step"] >= last
    assert (tmp_path / "runs" / "stopped" / "report.html").exists()
