"""The explorer as people meet it: JupyterLab in a real browser, a slider moved by keyboard.

Skipped with its reason where Playwright or Chromium is missing; HIFACEGAN_BROWSER=required makes that a failure.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from hifacegan_lib.degradations import load_recipe
from hifacegan_lib.images import save_image

CELL = """
import cv2
from hifacegan_lib import portraits, widgets
cv2.setNumThreads(1)
faces = [portraits.portrait(seed, 256) for seed in range(2)]
explorer = widgets.degradation_explorer(faces, ["report", "realesrgan"], save_to=".")
explorer
"""
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
QUIET = {"fetchNews": "false", "checkForUpdates": False}


complaints: list[str] = []  # of the page


def missing(reason: str) -> Any:
    if os.environ.get("HIFACEGAN_BROWSER") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Lab:
    """A Jupyter server of our own on a free port, in a folder of its own."""

    folder: Path
    port: int
    token: str

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(
            f"{self.root}/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def until(what: str, done: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := done():
            return result
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        missing(f"no Playwright: {error}")
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(CHROMIUM))
        except Error as error:
            missing(f"no Chromium: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET), encoding="utf-8")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=kernel, cells=[nbformat.v4.new_code_cell(CELL.strip())])
    nbformat.write(notebook, folder / "explorer.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = Lab(folder, free.getsockname()[1], secrets.token_hex(16))
    places = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    places |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "IPYTHONDIR": str(folder / "ipython")}
    options = {"ServerApp.root_dir": folder, "ServerApp.port": found.port, "ServerApp.port_retries": 0}
    options |= {"IdentityProvider.token": found.token, "LabApp.expose_app_in_browser": True}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | places, stdout=log, stderr=log, cwd=folder)
    try:
        until("the server answers", lambda: server.poll() is not None or answers(found))
        assert server.poll() is None, (folder / "server.log").read_text(encoding="utf-8")[-2000:]
        yield found
    finally:
        stop(found, server)


def answers(lab: Lab) -> bool:
    try:
        return bool(lab.ask("api/status"))
    except (urllib.error.URLError, ConnectionError):
        return False


def stop(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    """Ask first, since the server ends its kernels; insist then."""
    try:
        lab.ask("api/shutdown", "POST")
        server.wait(15)
    except (OSError, subprocess.TimeoutExpired):
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def page(browser: Any, lab: Lab) -> Any:
    """The notebook, opened in a browser 1280 pixels wide, its cell run."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=lab.root)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    open_notebook(lab, page)
    return page


def open_notebook(lab: Lab, page: Any) -> None:
    page.goto(f"{lab.root}/doc/tree/explorer.ipynb?token={lab.token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    until("the kernel is idle and connected", lambda: ready(lab))
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".dx .dx-pictures img[src^='blob:']", timeout=60_000)


def ready(lab: Lab) -> bool:
    kernels = [session["kernel"] for session in lab.ask("api/sessions")]
    return bool(kernels) and kernels[0]["execution_state"] == "idle" and kernels[0]["connections"] > 0


def degraded(page: Any) -> str:
    return str(page.get_attribute(".dx-picture:nth-child(2) img", "src"))


def trace(page: Any) -> dict[str, Any]:
    return json.loads(page.get_attribute(".dx-copy >> nth=1", "data-text"))


SETTLED = """async () => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const rest = milliseconds => new Promise(done => setTimeout(done, milliseconds));
    let last = performance.now();
    const watch = new MutationObserver(() => { last = performance.now(); });
    watch.observe(document.querySelector('.dx'), {subtree: true, childList: true, attributes: true});
    while (kernel.status !== 'idle' || performance.now() - last < 400) {
        if (kernel.status !== 'idle') last = performance.now();
        await rest(20);
    }
    watch.disconnect();
}"""


def settle(page: Any) -> None:
    """Wait until the kernel rests and the explorer stands still: a key pressed on a row that is drawn anew is lost."""
    page.evaluate(SETTLED)


def move(page: Any, handle: str, key: str) -> float:
    """Press a key on a slider's handle; milliseconds until another picture is on the screen."""
    settle(page)
    before = degraded(page)
    page.focus(handle)
    start = time.perf_counter()
    page.keyboard.press(key)
    page.wait_for_function(
        "before => { const image = document.querySelector('.dx-picture:nth-child(2) img');"
        " return image.src !== before && image.complete; }",
        arg=before,
        polling="raf",
        timeout=30_000,
    )
    return 1000 * (time.perf_counter() - start)


def draw(page: Any, recipe: str) -> None:
    """An untouched draw of the recipe, whatever was done before."""
    page.select_option(".dx-left select >> nth=0", label=recipe)
    settle(page)
    if page.is_visible("text=back to the draw"):
        page.click("text=back to the draw")
        settle(page)
    page.wait_for_function(
        "recipe => JSON.parse(document.querySelectorAll('.dx-copy')[1].dataset.text).recipe === recipe", arg=recipe
    )


SEED = ".dx-left > .widget-hslider >> nth=1 >> .noUi-handle"


def test_a_slider_moved_by_keyboard_changes_the_picture(page: Any, record_property: Callable[[str, Any], None]) -> None:
    draw(page, "report")
    clean = page.get_attribute(".dx-picture:nth-child(1) img", "src")
    quality = ".dx-step:has-text('jpeg') .noUi-handle"
    before = trace(page)["operations"]
    waits = [move(page, quality, "ArrowLeft") for _ in range(10)]
    record_property("median_ms_from_key_to_picture", sorted(waits)[len(waits) // 2])
    print(f"from key to picture: {', '.join(f'{wait:.0f}' for wait in waits)} ms")
    expected = [{**step, "quality": step["quality"] - 10} if step["op"] == "jpeg" else step for step in before]
    until("ten lower in the trace, nothing else", lambda: trace(page)["operations"] == expected, 30)
    assert page.get_attribute(".dx-picture:nth-child(1) img", "src") == clean
    assert "by hand" in page.inner_text(".dx-quality")


def test_what_is_drawn_is_shown_to_the_last_digit(page: Any) -> None:
    """Sliders of a browser round to their steps; that must not change a draw."""
    for recipe in ("realesrgan", "report"):
        draw(page, recipe)
        for _ in range(3):
            move(page, SEED, "ArrowRight")
        page.wait_for_timeout(500)  # time for a browser to object
        shown = trace(page)
        seed = int(page.inner_text(".dx-left > .widget-hslider >> nth=1 >> .widget-readout"))
        assert shown == load_recipe(recipe).sample(seed, grid=256).to_dict()


def test_steps_are_added_moved_switched_off_and_removed(page: Any) -> None:
    draw(page, "report")
    drawn = [step["op"] for step in trace(page)["operations"]]

    def steps(expected: list[str]) -> None:
        until(f"steps are {expected}", lambda: [step["op"] for step in trace(page)["operations"]] == expected, 30)

    page.select_option(".dx-add select", label="grey")
    page.click(".dx-add button")
    steps([*drawn, "grey"])
    page.click(".dx-step >> nth=-1 >> button[title='up']")
    steps([*drawn[:-1], "grey", drawn[-1]])
    page.uncheck(".dx-step >> nth=0 >> input[type='checkbox']")
    steps([*drawn[1:-1], "grey", drawn[-1]])
    page.click(".dx-step >> nth=1 >> button[title='remove']")
    steps([*drawn[2:-1], "grey", drawn[-1]])
    move(page, ".dx-step:has-text('grey') .noUi-handle", "ArrowRight")


def test_zoom_shows_another_part_of_all_three(page: Any) -> None:
    sources = "() => [...document.querySelectorAll('.dx-picture img')].map(image => image.src)"
    before = page.evaluate(sources)
    page.click(".dx-zoom button >> nth=3")
    until("three other pictures", lambda: not set(before) & set(page.evaluate(sources)), 30)
    move(page, ".dx-bar .noUi-handle >> nth=0", "ArrowLeft")
    page.click(".dx-zoom button >> nth=0")
    page.wait_for_selector(".dx-bar .widget-hslider .slider[disabled]")


@pytest.mark.parametrize(("place", "key"), [(0, "name"), (1, "recipe")])
def test_copy_buttons_fill_the_clipboard(page: Any, place: int, key: str) -> None:
    draw(page, "report")
    page.evaluate("() => navigator.clipboard.writeText('nothing')")
    page.click(f".dx-copy >> nth={place}")
    page.wait_for_selector(".dx-copy.dx-done")
    copied = json.loads(page.evaluate("() => navigator.clipboard.readText()"))
    assert copied == json.loads(page.get_attribute(f".dx-copy >> nth={place}", "data-text"))
    assert copied[key] == "report"


def test_the_contact_sheet_comes_and_goes(page: Any) -> None:
    page.click("text=contact sheet")
    page.wait_for_function("() => document.querySelector('.dx-sheet img')?.naturalWidth > 700", timeout=60_000)
    page.click("text=contact sheet")
    page.wait_for_selector(".dx-sheet", state="detached")


def test_a_recipe_is_saved_once(page: Any, lab: Lab) -> None:
    draw(page, "report")
    page.fill(".dx-buttons input[type='text']", "mine")
    page.keyboard.press("Tab")
    page.click("text=save to params")
    page.wait_for_selector("text=saved as params/recipes/mine.json")
    assert load_recipe(lab.folder / "params/recipes/mine.json").operations == load_recipe("report").operations
    page.click("text=save to params")
    page.wait_for_selector(".dx-error:has-text('is there already')")


def upload(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(".dx-upload")
    chooser.value.set_files(file)


def test_a_face_is_uploaded_and_a_bad_file_is_told(page: Any, tmp_path: Path) -> None:
    save_image(tmp_path / "wide.png", np.full((60, 90, 3), 200, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    upload(page, tmp_path / "broken.png")
    page.wait_for_selector(".dx-error:has-text('broken.png: not an image')")
    before = degraded(page)
    upload(page, tmp_path / "wide.png")
    until("another face", lambda: degraded(page) != before, 30)
    assert page.inner_text(".dx-left > .widget-hslider >> nth=0 >> .widget-readout") == "2"


@pytest.mark.parametrize("width", [1280, 1100])
def test_nothing_sticks_out_at_the_sides(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(500)  # for the layout to settle
    found = page.evaluate(
        """() => {
        const area = document.querySelector('.dx').closest('.jp-OutputArea-output');
        const inside = [...area.querySelectorAll('.dx-body *')].filter(e => e.offsetParent);
        const right = area.getBoundingClientRect().right;
        return {scroll: area.scrollWidth - area.clientWidth,
                out: inside.filter(e => e.getBoundingClientRect().right > right + 1).map(e => e.className)};
        }"""
    )
    assert found == {"scroll": 0, "out": []}


def test_no_error_was_printed(page: Any) -> None:
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert not complaints
