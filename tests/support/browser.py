"""A Chromium without a window. It waits as a person does: until what is to be read or clicked is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import psutil
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.shadowroot import ShadowRoot
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WIDTH, HEIGHT = 1280, 800
TIMEOUT = 60.0  # as a safety net: two cores are busy while Airflow runs tasks
STOP_TIMEOUT = 20.0
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # links may lead anywhere, and are followed
)

T = TypeVar("T")
Place = WebElement | ShadowRoot


class Browser:
    """A browser, as a context manager that leaves no process behind.

    :param profile: its folder, which is made anew.
    """

    def __init__(self, profile: Path) -> None:
        options = ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        self._driver = Chrome(options=options, service=ChromeService(str(CHROMEDRIVER)))
        self._resize(HEIGHT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        driver = psutil.Process(self._driver.service.process.pid)
        mine = [driver, *driver.children(recursive=True)]
        self._driver.quit()
        _, left = psutil.wait_procs(mine, STOP_TIMEOUT)
        for process in left:
            process.kill()
        assert left == []

    def open(self, url: str) -> None:
        self._driver.get(url)

    @property
    def url(self) -> str:
        return self._driver.current_url

    def all(self, css: str, text: str | None = None, within: Place | None = None) -> list[WebElement]:
        """Those that are shown now.

        :param css: selector.
        :param text: the whole text of each.
        :param within: look below this.
        """
        found = (within or self._driver).find_elements(By.CSS_SELECTOR, css)
        return [one for one in found if one.is_displayed() and text in {None, one.text.strip()}]

    def find(self, css: str, text: str | None = None, within: Place | None = None) -> WebElement:
        """The first one that is shown, as soon as there is one; the parameters are those of :meth:`all`."""
        return self.wait(lambda: self.all(css, text, within), f"{css} with the text {text!r}")[0]

    def click(self, css: str, text: str | None = None, within: Place | None = None) -> None:
        """Click on the first one that can be clicked on; the parameters are those of :meth:`all`."""
        self.wait(lambda: [one.click() for one in self.all(css, text, within)[:1]], f"to click {css}, {text!r}")

    def type(self, field: WebElement, text: str) -> None:
        """Put a text into a field in the place of the one that is there."""
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def wait(self, condition: Callable[[], T], for_what: str, timeout: float = TIMEOUT) -> T:
        """Wait until something is true; an element that is missing, covered or replaced means: not yet."""
        wait = WebDriverWait(self._driver, timeout, poll_frequency=0.1, ignored_exceptions=[WebDriverException])
        return wait.until(lambda _: condition(), f"waited for {for_what}")

    def shadow_root(self, css: str) -> ShadowRoot:
        """The part of the page that hangs below an element, unseen by other selectors."""
        return self.wait(lambda: self._driver.find_element(By.CSS_SELECTOR, css).shadow_root, f"shadow root of {css}")

    def reload_until(self, condition: Callable[[], T], for_what: str, timeout: float = TIMEOUT) -> T:
        """Wait with a finger on the key that loads the page again."""

        def reloaded() -> T:
            self._driver.refresh()
            return self.wait(condition, for_what, 5)

        return self.wait(reloaded, for_what, timeout)

    def scroll_to(self, element: WebElement) -> None:
        """Bring an element into view: some parts of a page are drawn only then."""
        self._driver.execute_script("arguments[0].scrollIntoView()", element)

    def scroll_to_top(self) -> None:
        self._driver.execute_script("window.scrollTo(0, 0)")

    def follow(self, link: WebElement) -> tuple[str, str]:
        """Click on a link that opens a page of its own, and close that page.

        :return: its address and its text.
        """
        (here,) = self._driver.window_handles
        link.click()
        (there,) = self.wait(lambda: set(self._driver.window_handles) - {here}, "a new page")
        self._driver.switch_to.window(there)
        shown = self.wait(lambda: (self.url, self._driver.find_element(By.TAG_NAME, "body").text), "its text")
        self._driver.close()
        self._driver.switch_to.window(here)
        return shown

    def picture(self, path: Path, height: int = HEIGHT) -> None:
        """Save what is to be seen as PNG.

        :param height: of the window, meanwhile.
        """
        self._resize(height)
        self._driver.save_screenshot(str(path))
        self._resize(HEIGHT)

    def save_evidence(self, folder: Path) -> str:
        """Save picture and source of the page that is open.

        :return: where they are.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.picture(folder / "page.png")
        (folder / "page.html").write_text(self._driver.page_source)
        return f"{self.url} looked so: {folder / 'page.png'}, {folder / 'page.html'}"

    def _resize(self, height: int) -> None:
        metrics = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
