"""JupyterLab in a real browser: a server of our own, a notebook of one cell, and a page that one waits for.

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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
QUIET = {"fetchNews": "false", "checkForUpdates": False}


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


@contextmanager
def chromium() -> Iterator[Any]:
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


@contextmanager
def serving(folder: Path, cell: str) -> Iterator[Lab]:
    """A server for one notebook, page.ipynb, of this one cell."""
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET), encoding="utf-8")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=kernel, cells=[nbformat.v4.new_code_cell(cell.strip())])
    nbformat.write(notebook, folder / "page.ipynb")
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


def opened(browser: Any, lab: Lab, shown: str, complaints: list[str]) -> Any:
    """The notebook in a window 1280 pixels wide, its cell run, ``shown`` on the screen; errors go to ``complaints``."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=lab.root)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(f"{lab.root}/doc/tree/page.ipynb?token={lab.token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    until("the kernel is idle and connected", lambda: ready(lab))
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(shown, timeout=60_000)
    return page


def ready(lab: Lab) -> bool:
    kernels = [session["kernel"] for session in lab.ask("api/sessions")]
    return bool(kernels) and kernels[0]["execution_state"] == "idle" and kernels[0]["connections"] > 0


SETTLED = """async area => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const rest = milliseconds => new Promise(done => setTimeout(done, milliseconds));
    let last = performance.now();
    const watch = new MutationObserver(() => { last = performance.now(); });
    watch.observe(document.querySelector(area), {subtree: true, childList: true, attributes: true});
    while (kernel.status !== 'idle' || performance.now() - last < 400) {
        if (kernel.status !== 'idle') last = performance.now();
        await rest(20);
    }
    watch.disconnect();
}"""


def settle(page: Any, area: str) -> None:
    """Wait until the kernel rests and the area stands still: a key pressed on what is drawn anew is lost."""
    page.evaluate(SETTLED, area)


def told(page: Any) -> int:
    """Errors and warnings that the kernel has put below the cell."""
    kinds = ("stderr", "error")
    return sum(page.locator(f"[data-mime-type='application/vnd.jupyter.{kind}']").count() for kind in kinds)
