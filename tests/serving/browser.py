"""A headless Chromium, driven over chromedriver's own HTTP (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
STARTED = re.compile(r"started successfully on port (\d+)")
SECONDS = 60
MISSING = "" if shutil.which("chromium") and shutil.which("chromedriver") else "chromium and chromedriver are missing"


class Browser:
    def __init__(self, address: str, capabilities: dict[str, Any]) -> None:
        self._address = address
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{made['sessionId']}"

    def close(self) -> None:
        self._ask("DELETE", self._session)

    def open(self, url: str) -> None:
        self._do("/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self._do("/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector: str) -> str:
        found = self._do("/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def write(self, selector: str, text: str, *, clear: bool = True) -> None:
        place = self.find(selector)
        if clear:
            self._do(f"/element/{place}/clear", {})
        self._do(f"/element/{place}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._do(f"/element/{self.find(selector)}/click", {})

    def press(self, *keys: str) -> None:
        """Keys, one after the other, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._do("/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def text(self, selector: str) -> str:
        return str(self.run("const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", selector))

    def wait(self, look: Callable[[], Any]) -> Any:
        """What look gives once it is true."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if found := look():
                return found
            time.sleep(0.1)
        raise AssertionError("it has not come")

    def devtools(self, command: str, **params: Any) -> Any:
        return self._do("/goog/cdp/execute", {"cmd": command, "params": params})

    def size(self, width: int, height: int) -> None:
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def scheme(self, name: str) -> None:
        """Light or dark."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def faults(self) -> list[str]:
        """What the page has written of errors, refused contents included."""
        return [line["message"] for line in self._do("/se/log", {"type": "browser"}) if line["level"] == "SEVERE"]

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", f"{self._session}/screenshot")))

    def _do(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask("POST", self._session + path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = requests.request(method, self._address + path, json=body, timeout=SECONDS)
        value = answer.json()["value"]
        assert answer.ok, value
        return value


@contextmanager
def browser(folder: Path, **options: Any) -> Iterator[Browser]:
    """A browser whose profile is in the folder."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        port = next(match[1] for line in driver.stdout if (match := STARTED.search(line)))
        arguments = [*FLAGS, f"--user-data-dir={folder}"]
        chrome = {"args": arguments, "binary": shutil.which("chromium"), **options}
        capabilities = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        found = Browser(f"http://127.0.0.1:{port}", capabilities)
        try:
            yield found
        finally:
            found.close()
    finally:
        driver.terminate()
        driver.wait(SECONDS)
