"""A headless Chromium for tests, and what it complained about or asked the network for."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",))


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A driver with an empty profile; skips the test, with a word, where Chromium or its driver is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    found = [next((path for name in names if (path := shutil.which(name))), None) for names in PROGRAMS]
    if None in found:
        pytest.skip("Chromium or chromedriver is not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"user-data-dir={profile}"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found[1]))
    try:
        driver.set_window_size(1200, 1000)
        driver.get("about:blank")
        requests(driver)  # of the browser's own first page
        yield driver
    finally:
        driver.quit()


def complaints(driver: Any) -> list[str]:
    """What the console said since it was last asked."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requests(driver: Any) -> list[str]:
    """Every address that was asked for since it was last asked, the data inside pages left out."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:")]


def dark(driver: Any, value: str = "dark") -> None:
    """Pretend that the user's system is dark, or ``light``."""
    features = {"features": [{"name": "prefers-color-scheme", "value": value}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)


def css(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def keys(driver: Any, selector: str, words: str) -> None:
    css(driver, selector).send_keys(words)
