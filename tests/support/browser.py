"""A real Chromium without a window, driven by its DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KEYS: Mapping[str, tuple[str, int, str]] = {
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Tab": ("Tab", 9, ""),
    " ": ("Space", 32, " "),
}


def find_chromium() -> str:
    """The browser of this machine; tests that want it skip when there is none."""
    if sys.platform == "win32":
        pytest.skip("Chromium is driven over a POSIX pipe here")
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    return found


class Browser:
    """One page. Everything it asks the network for is noted in `requests`.

    Use as a context manager.
    """

    def __init__(self, profile: Path, size: tuple[int, int] = (1280, 800)) -> None:
        self._net_log = profile.with_name(profile.name + "-net.json")
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()

        def take_pipes() -> None:
            # Chromium reads commands at 3 and writes answers at 4; either may be one of ours.
            one, two = os.dup(to_read), os.dup(to_write)
            os.dup2(one, 3)
            os.dup2(two, 4)

        self._process = subprocess.Popen(
            [
                find_chromium(),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-extensions",
                # The browser would call home by itself; nothing has a name but this machine.
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                f"--log-net-log={self._net_log}",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                f"--window-size={size[0]},{size[1]}",
                "about:blank",
            ],
            preexec_fn=take_pipes,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._count = 0
        self._session: str | None = None
        self._answers: Queue[dict[str, Any]] = Queue()
        self.requests: list[str] = []
        self.console: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(*size)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self._reader.join(5)
        os.close(self._to)
        os.close(self._from)

    def close(self) -> None:
        """End the browser, as a person does, so that its log of the network is whole."""
        if self._process.poll() is None:
            self._session = None
            with suppress(RuntimeError, TimeoutError, OSError):
                self.call("Browser.close")
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def connections(self) -> set[str]:
        """Every address that the whole browser has connected to, "udp" for a datagram; closes it.

        Asking the system for a route, which sends nothing, does not count.
        """
        self.close()
        log = json.loads(self._net_log.read_text("utf-8"))
        kinds = log["constants"]["logEventTypes"]
        found = {
            event["params"]["address"]
            for event in log["events"]
            if event["type"] == kinds["TCP_CONNECT_ATTEMPT"]
            and "address" in event.get("params", {})
        }
        sent = any(event["type"] == kinds["UDP_BYTES_SENT"] for event in log["events"])
        return found | ({"udp"} if sent else set())

    def _read(self) -> None:
        held = b""
        while True:
            try:
                data = os.read(self._from, 1 << 16)
            except OSError:
                return
            if not data:
                return
            *messages, held = (held + data).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers.put(message)
            return
        params = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif message["method"] == "Log.entryAdded":
            self.console.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
        elif message["method"] == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(str(details.get("exception", details)))

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """One command of the protocol and its result."""
        self._count += 1
        message: dict[str, object] = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + 60
        while True:
            try:
                answer = self._answers.get(timeout=max(0.1, until - time.monotonic()))
            except Empty:
                raise TimeoutError(method) from None
            if answer["id"] == self._count:
                break
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def eval(self, code: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{code}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, code: str, seconds: float = 60) -> Any:
        """Wait until an expression is true, and return it."""
        until = time.monotonic() + seconds
        while True:
            try:
                found = self.eval(code)
            except RuntimeError:
                found = None  # between two pages
            if found:
                return found
            if time.monotonic() > until:
                shown = self.eval("document.body.innerText")[:2000]
                raise TimeoutError(f"never true: {code}\n{self.console}\n{shown}")
            time.sleep(0.05)

    def key(self, key: str) -> None:
        """Press and release a key, as a keyboard does."""
        code, number, text = KEYS.get(key, ("", 0, key))
        facts = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element."""
        x, y = self.eval(
            f"(() => {{ const r = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def mouse(self, kind: str, x: float, y: float) -> None:
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1, buttons=1
        )

    def text(self, selector: str) -> str:
        found: str = self.eval(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
