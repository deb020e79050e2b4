"""The web UI of Airflow 3, as far as the tests go through it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from selenium.webdriver.remote.webelement import WebElement

from tests.support.browser import Browser
from tests.support.capabilities import AIRFLOW

DIALOG = "[role=dialog][data-state=open]"
TEST = "button[aria-label='Test Connection']"
SECTIONS = ("Standard Fields", "Extra Fields")
ENDED = {"success", "failed", "upstream failed"}


class AirflowUI:
    """Airflow in a browser.

    :param browser: the browser.
    :param url: where Airflow is.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url

    def sign_in(self, home: Path) -> None:
        """Everybody is an administrator here."""
        self._browser.open(self._url)

    def start_connection(self, conn_id: str, connection_type: str) -> None:
        """Open the form of a new connection, and choose its type from those that are offered."""
        self._show_connections()
        self._browser.click("button", "Add Connection")
        self._browser.type(self._browser.find(f"{DIALOG} input[name=connection_id]"), conn_id)
        self._browser.find(f"{DIALOG} [role=combobox]").send_keys(connection_type)
        self._browser.click("[role=option]", connection_type)

    def form(self) -> dict[str, tuple[str, str, bool]]:
        """What the open form asks for below the connection type: label -> help, placeholder, whether it is secret."""
        return {
            label: (_text(field, "[data-part=helper-text]"), *_placeholder(field))
            for name in SECTIONS
            for label, field in self.show_section(name).items()
        }

    def fill(self, values: Mapping[str, str]) -> None:
        """Fill in fields of the open form, by their labels."""
        for name in SECTIONS:
            for label, field in self.show_section(name).items():
                if label in values:
                    self._browser.type(_entry(field), values[label])

    def show_section(self, name: str) -> dict[str, WebElement]:
        """Unfold a section of the open form, which folds the others.

        :return: label -> field.
        """
        button = self._browser.find(f"{DIALOG} button[aria-controls]", name)
        if button.get_attribute("aria-expanded") == "false":
            button.click()
        section = self._browser.find(f"[id='{button.get_attribute('aria-controls')}']")
        fields = section.find_elements("css selector", "[data-scope=field][data-part=root]")
        self._browser.wait(lambda: all(field.is_displayed() for field in fields), f"{name} to unfold")
        return {_text(field, "label"): field for field in fields}

    def test_connection(self) -> tuple[bool, str]:
        """Save the open form, and press Test beside the connection.

        :return: whether it worked, and what is reported.
        """
        self._browser.click(f"{DIALOG} button", "Save")
        self._browser.wait(lambda: not self._browser.all(DIALOG), "the form to close")
        self._show_connections()
        self._browser.click(TEST)
        toast = "[data-scope=toast][data-part={}]"
        title = self._browser.find(toast.format("title")).text
        reported = self._browser.find(toast.format("description")).text
        return title == "Test Connection Successful", reported

    def correct_connection(self) -> None:
        """Open the form of the only connection again."""
        self._show_connections()
        self._browser.click("button[aria-label='Edit Connection']")

    def close_connection(self) -> None:
        """It is saved already."""

    def start_run(self, dag_id: str) -> None:
        """Open the form that starts a run."""
        self._browser.click("a", "Dags")
        self._browser.reload_until(lambda: self._browser.all("a", dag_id), f"{dag_id} in the list")
        self._browser.click("a", dag_id)
        self._browser.click("button", "Trigger")

    def fill_params(self, params: Mapping[str, str]) -> None:
        """Fill in the form that starts a run."""
        for name, value in params.items():
            self._browser.type(self._browser.find(f"{DIALOG} [name=element_{name}]"), value)

    def run(self) -> dict[str, str]:
        """Start the run, and watch it to its end.

        :return: task id -> state.
        """
        self._browser.click(f"{DIALOG} button", "Trigger")
        self._browser.wait(lambda: "/runs/" in self._browser.url, "the page of the run")
        return self._browser.wait(self._completed, "the end of the run", 300)

    def open_task(self, task_id: str) -> None:
        """Open the page of a task, from that of its run or of another of its tasks."""
        run = self._browser.url.partition("/tasks/")[0]
        if run != self._browser.url:
            self._browser.click(f"a[href$='{urlsplit(run).path}']")
        self._browser.click("td a", task_id)
        self._task_id = task_id

    def links(self) -> dict[str, WebElement]:
        """The extra links of the open task, by their names."""
        self._browser.click("a", "Details")
        self._browser.find("h2", "Extra Links")
        self._browser.wait(
            lambda: [cell for cell in self._browser.all("td") if cell.text.split()[:1] == [self._task_id]],
            "the details",
        )
        return {link.text: link for link in self._browser.all("a[target=_blank]")}

    def xcom(self, key: str) -> str:
        """What the open task keeps under a key: JSON as it is shown, which may be without its last lines."""
        if AIRFLOW >= (3, 3):
            self._browser.click("a", "Storage")
        self._browser.click("a", "XCom")
        self._browser.click("button[aria-label*='xpand']")
        drawn = ""

        def complete() -> str:  # it is drawn line by line
            nonlocal drawn
            before, drawn = drawn, self._value(key)
            return drawn if drawn == before else ""

        return self._browser.wait(complete, f"the value of {key}")

    def stored(self, key: str) -> str:
        """The task state store of the open task as text, once it has this key. From Airflow 3.3 on."""
        self._browser.click("a", "Storage")
        self._browser.click("a", "Task State Store")
        self._browser.wait(lambda: key in self._rows(), f"{key} in the task state store")
        return self._rows()

    def _rows(self) -> str:
        return "\n".join(row.text for row in self._browser.all("tbody tr"))

    def _show_connections(self) -> None:
        self._browser.open(self._url)
        self._browser.click("button", "Admin")
        self._browser.click("[role=menuitem]", "Connections")

    def _value(self, key: str) -> str:
        rows = [row for row in self._browser.all("tbody tr") if row.text.split()[:1] == [key]]
        for row in rows:
            self._browser.scroll_to(row)
        text = "".join(_text(row, ".view-lines") for row in rows)
        return text if '"' in text else ""

    def _completed(self) -> dict[str, str]:
        rows = self._browser.all("tbody tr")
        states = {_text(row, "a"): _text(row, "[data-testid=state-badge]").lower() for row in rows}
        return states if states and set(states.values()) <= ENDED else {}


def _entry(field: WebElement) -> WebElement:
    return field.find_element("css selector", "input, textarea")


def _placeholder(field: WebElement) -> tuple[str, bool]:
    entry = _entry(field)
    return entry.get_attribute("placeholder") or "", entry.get_attribute("type") == "password"


def _text(place: WebElement, css: str) -> str:
    return "".join(found.text for found in place.find_elements("css selector", css)).removesuffix("*").strip()
