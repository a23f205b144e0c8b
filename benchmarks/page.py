"""Drive the web page in a real browser: python benchmarks/page.py OUT.

It needs `pip install playwright` and Debian's chromium, and uses Chromium's fake camera. Screenshots go to
OUT. Each printed line is a check that passed.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-quic",
]
PORT = "8391"


def serve(*arguments: str) -> tuple["subprocess.Popen[str]", str]:
    """Start the command; return its process and the address that it prints."""
    command = [sys.executable, "-m", "edge_fm", "webcam", str(ROOT / "samples/wardrobe"), "--every", "1"]
    process = subprocess.Popen(
        [*command, "--view", "web", "--port", PORT, *arguments], stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr or ():
        if line.startswith("look at "):
            return process, line.split()[-1]
    raise RuntimeError("no address was printed")


def end(process: "subprocess.Popen[str]") -> None:
    """Stop a server as systemd does, and check for exit code 0."""
    process.send_signal(signal.SIGTERM)
    expect(process.wait(20) == 0, "SIGTERM ends the server with code 0")


def expect(holds: bool, what: str) -> None:
    """Print a check that passed, or exit."""
    if not holds:
        raise SystemExit(f"NOT: {what}")
    print(what, flush=True)


def label_of(page: Any) -> str:  # noqa: ANN401  # playwright's page
    """Return the label that a page shows."""
    return str(page.inner_text("#label"))


def until(page: Any, holds: str) -> None:  # noqa: ANN401
    """Wait until an expression is true; the page's policy forbids the driver's own wait."""
    for _ in range(200):
        if page.evaluate(holds):
            return
        page.wait_for_timeout(100)
    raise SystemExit(f"NOT within 20 s: {holds}")


def plain(browser: Any, out: Path) -> None:  # noqa: ANN401
    """Test two viewers, a snapshot, the browser's camera, and a server that stops."""
    process, address = serve("--snapshots", str(out / "snapshots"))
    foreign: list[str] = []
    console: list[str] = []
    first = browser.new_page(viewport={"width": 1280, "height": 860})
    first.on(
        "request",
        lambda r: (
            foreign.append(r.url)
            if not r.url.startswith((address, "blob:", address.replace("http", "ws")))
            else None
        ),
    )
    first.on("console", lambda m: console.append(m.text))
    first.on("pageerror", lambda e: console.append(str(e)))
    first.goto(address)
    until(first, "document.querySelectorAll('#history li').length > 3")
    expect(not foreign, "the page asks nothing of any other host")
    expect(not console, "the browser's console is empty")
    expect(first.evaluate("document.getElementById('stream').naturalWidth") > 0, "the stream is a picture")
    first.screenshot(path=out / "light.png")
    second = browser.new_page(
        viewport={"width": 390, "height": 844}, color_scheme="dark", device_scale_factor=2
    )
    second.goto(address)
    until(second, "document.querySelectorAll('#history li').length > 3")
    second.screenshot(path=out / "phone-dark.png", full_page=True)
    wide = second.evaluate("document.documentElement.scrollWidth")
    expect(wide <= 390, "nothing is wider than a phone")
    first.wait_for_timeout(300)
    expect(label_of(first) == label_of(second), "two viewers see the same label")
    first.click("#snapshot")
    until(first, "document.getElementById('said').textContent.includes('Kept')")
    expect(
        len(list((out / "snapshots").glob("*.json"))) == 1, "the snapshot button keeps a picture and its JSON"
    )
    first.click("#use-own")
    until(first, "Number(document.getElementById('rate').textContent) > 5")
    expect(label_of(first) != "…", "the browser's own (fake) camera is classified over the WebSocket")
    first.screenshot(path=out / "own-camera.png")
    first.click("#use-device")
    before = label_of(second)
    process.kill()
    process.wait()
    until(first, "document.getElementById('link').className === ''")
    first.screenshot(path=out / "gone.png")
    expect(
        "trying again" in first.inner_text("#link"), f"a server that is gone is said (last label {before})"
    )
    process, _ = serve("--snapshots", str(out / "snapshots"))
    for page in (first, second):
        until(page, "document.getElementById('link').className === 'on'")
        until(page, "document.getElementById('stream').naturalWidth > 0")
    expect(bool(label_of(first)), "both viewers go on by themselves when it is back")
    first.close()
    second.close()
    end(process)


def with_token(browser: Any, out: Path) -> None:  # noqa: ANN401
    """Test a wrong token, the right token, and HTTPS with a self-signed certificate."""
    process, address = serve("--token", "the-right-one")
    base = address.partition("?")[0]
    page = browser.new_context().new_page()
    expect(page.goto(base + "?token=wrong").status == 401, "a wrong token gets 401 and a sentence")
    page.screenshot(path=out / "wrong-token.png")
    page.goto(address)
    until(page, "document.getElementById('link').className === 'on'")
    expect("token" not in page.url, "the right token opens the page and leaves the address")
    page.close()
    end(process)
    process, address = serve("--tls", "self")
    page = browser.new_context(ignore_https_errors=True, permissions=["camera"]).new_page()
    page.goto(address)
    page.click("#use-own")
    until(page, "Number(document.getElementById('rate').textContent) > 5")
    expect(address.startswith("https"), "over --tls self the browser gives its camera")
    page.close()
    end(process)


def not_secure(browser: Any, out: Path) -> None:  # noqa: ANN401
    """Test that the page explains why the camera is off over plain HTTP."""
    process, address = serve("--host", "0.0.0.0")  # noqa: S104  # the page has to be reachable
    page = browser.new_context().new_page()
    own = subprocess.run(["/bin/hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()[
        0
    ]
    page.goto(f"http://{own}:{PORT}/?{address.partition('?')[2]}")
    until(page, "document.getElementById('link').className === 'on'")
    page.click("#use-own")
    expect(
        "HTTPS or localhost" in page.inner_text("#said"), "without HTTPS the page says why its camera is off"
    )
    page.screenshot(path=out / "why-off.png")
    page.close()
    end(process)


def main() -> None:
    """Run everything."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        plain(browser, out)
        with_token(browser, out)
        not_secure(browser, out)
        browser.close()
    print(f"screenshots: {out}")


if __name__ == "__main__":
    main()
