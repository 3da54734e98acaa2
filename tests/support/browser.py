"""A real browser: Debian's chromium, headless, led through its debugging pipe."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any, Final

_LIMIT_S: Final = 60.0
_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"),
)


class Page:
    """A tab: what it shows can be asked for, and what went wrong in it stands in `problems`."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to = os.fdopen(to_browser, "wb", buffering=0)
        self._from = os.fdopen(from_browser, "rb")
        self._number = 0
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self.problems: list[str] = []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def close(self) -> None:
        """Let go of the pipes, which ends the browser."""
        self._to.close()
        self._from.close()

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return what a command of the protocol is answered."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, file: Path) -> None:
        """Show a file, once all of it is loaded."""
        self._events.clear()
        self.command("Page.navigate", url=file.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()

    def ask(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript, its promise fulfilled."""
        done = self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def press(self, selector: str) -> None:
        """Click at the middle of what a selector finds, as a mouse does."""
        x, y = self.ask(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.command(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    def write(self, selector: str, text: str) -> None:
        """Type into a field, what was in it gone."""
        self.press(selector)
        self.ask(f"document.querySelector({json.dumps(selector)}).select()")
        self.command("Input.insertText", text=text)
        # A timer of the page's runs before this one.
        self.ask("new Promise((done) => setTimeout(done, 0))")

    def screenshot(self) -> bytes:
        """Return what the window shows, as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])

    def printed(self) -> bytes:
        """Return it as it is printed, as PDF."""
        printed = self.command("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(printed["data"])

    def requests(self) -> list[str]:
        """Return the addresses asked for since it was opened, those in the page itself aside."""
        return [
            event["params"]["request"]["url"]
            for event in self._events
            if event["method"] == "Network.requestWillBeSent"
            and not event["params"]["request"]["url"].startswith("data:")
        ]

    def _receive(self) -> dict[str, Any]:
        received = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "the browser has ended"
            received += byte
        answer: dict[str, Any] = json.loads(received)
        if "method" in answer:
            self._events.append(answer)
        match answer.get("method"):
            case "Log.entryAdded":
                self.problems.append(answer["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.problems.append(str(answer["params"]["exceptionDetails"]))
        return answer


@contextmanager
def browsing(directory: Path) -> Iterator[Page]:
    """Offer a page of a browser whose files are in `directory`."""
    to_browser, to_us = os.pipe(), os.pipe()
    os.set_inheritable(to_browser[0], True)  # noqa: FBT003 - os has no name for it
    os.set_inheritable(to_us[1], True)  # noqa: FBT003
    # It takes its commands at 3 and answers at 4.
    script = f'exec 3<&{to_browser[0]} 4>&{to_us[1]}; exec chromium "$@"'
    browser = subprocess.Popen(
        ["bash", "-c", script, "bash", *_FLAGS, f"--user-data-dir={directory}"],
        pass_fds=(to_browser[0], to_us[1]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(directory), "TMPDIR": str(directory)},
    )
    os.close(to_browser[0])
    os.close(to_us[1])
    watch = Timer(_LIMIT_S, browser.kill)
    watch.start()
    page = None
    try:
        page = Page(to_browser[1], to_us[0])
        yield page
    finally:
        watch.cancel()
        if page is not None:
            with suppress(AssertionError, OSError):
                page.command("Browser.close")
            page.close()
        browser.kill()
        browser.wait()
