"""Run every notebook from its own folder and write it back as it is committed: outputs and counts, nothing else.

Example: HIFACEGAN_HOME=$(mktemp -d) python tests/execute_notebooks.py 03_module_prototyping
"""

import base64
import io
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from hifacegan_lib.params import NOTEBOOKS

FOLDER = Path(__file__).parents[1] / "notebooks"


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """What one stream wrote in several pieces as one piece."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if kept and output.output_type == "stream" and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def smaller(png: str) -> str:
    """The same pixels in fewer bytes, base64; matplotlib does not search for them."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).save(buffer, "PNG", optimize=True)
    packed = base64.b64encode(buffer.getvalue()).decode()
    return min(packed, png, key=len)


def clean(notebook: nbformat.NotebookNode) -> None:
    """Strip what differs between two runs of the same code: times, widget state, all but a progress bar's last line."""
    notebook.metadata = {k: v for k, v in notebook.metadata.items() if k == "kernelspec"}
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
        if "outputs" in cell:
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = "".join(line.rsplit("\r", 1)[-1] for line in output.text.splitlines(keepends=True))
            elif "data" in output:
                output.data.pop("application/vnd.jupyter.widget-view+json", None)
                if "image/png" in output.data:
                    output.data["image/png"] = smaller(output.data["image/png"])


def main(names: list[str]) -> None:
    for name in names or NOTEBOOKS:
        path, start = FOLDER / f"{name}.ipynb", time.monotonic()
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(FOLDER)}}).execute()
        clean(notebook)
        nbformat.write(notebook, path)
        print(f"{name}: {time.monotonic() - start:.0f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
