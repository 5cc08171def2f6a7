"""JupyterLab on 127.0.0.1 with a home of its own, and a page of headless Chromium that watches what it does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
OWN = re.compile(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:|about:")
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # All cells are kept in the page: what is scrolled out of sight can be asked, too.
    "notebook-extension/tracker": {"windowingMode": "none"},
}
READY = """async () => {
    const lab = window.jupyterapp;
    await lab.restored;
    const panel = lab.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    if (!lab.shell.leftCollapsed) await lab.commands.execute('application:toggle-left-area');
}"""


class Lab:
    """A notebook open in JupyterLab.

    ``errors`` collects what the page complained about, ``elsewhere`` what it asked other machines for.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.finished: object = None  # what "Run all" answered
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", lambda message: self._said(message))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: None if OWN.match(request.url) else self.elsewhere.append(request.url))

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def command(self, name: str) -> Any:
        """Execute one of JupyterLab's commands and wait until it is done."""
        return self.page.evaluate(f"async () => await window.jupyterapp.commands.execute({name!r})")

    def failed_cells(self) -> list[str]:
        """The text of all outputs that are errors."""
        return self.page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()

    def code_cell(self, text: str) -> Any:
        """The one code cell whose editor holds the text."""
        return self.page.locator(".jp-CodeCell").filter(has=self.page.locator(".cm-content", has_text=text))


@contextlib.contextmanager
def open_in_lab(notebook: Path, home: Path, env: dict[str, str]) -> Iterator[Lab]:
    """The notebook in JupyterLab, its kernel ready; everything is stopped afterwards."""
    for name, setting in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(setting), encoding="utf-8")
    with _server(notebook.parent, home, env) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            lab = Lab(browser.new_page(viewport={"width": 1280, "height": 1000}))
            lab.page.set_default_timeout(60_000)
            lab.page.goto(f"{address}/lab/tree/{notebook.name}?reset&token={env['TOKEN']}")
            lab.page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext")
            lab.page.evaluate(READY)
            yield lab
        finally:
            browser.close()


@contextlib.contextmanager
def _server(folder: Path, home: Path, env: dict[str, str]) -> Iterator[str]:
    env["TOKEN"] = secrets.token_hex(8)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--LabApp.expose_app_in_browser=True",
    ]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"]
    command += [f"--IdentityProvider.token={env['TOKEN']}", "--LabApp.extension_manager=readonly"]
    environment = {**os.environ, "HOME": str(home), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), **env}
    with (home / "jupyter.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/api?token={env['TOKEN']}", server, home / "jupyter.log")
        yield address
    finally:
        server.terminate()  # it shuts down its kernels first
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")
