"""The web UI of Airflow 2, as far as the tests go through it. The methods are those of Airflow 3's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from selenium.webdriver.remote.shadowroot import ShadowRoot
from selenium.webdriver.remote.webelement import WebElement

from tests.support.browser import Browser

PASSWORD_FILE = "standalone_admin_password.txt"
STATE, TASK, RUN = 2, 4, 5  # columns of the list of task instances
ENDED = {"success", "failed", "upstream_failed"}


class AirflowUI:
    """Airflow in a browser.

    :param browser: the browser.
    :param url: where Airflow is.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._ended_runs: set[str] = set()

    def sign_in(self, home: Path) -> None:
        """As the administrator whom ``airflow standalone`` makes."""
        self._browser.open(self._url)
        self._browser.type(self._browser.find("#username"), "admin")
        self._browser.type(self._browser.find("#password"), (home / PASSWORD_FILE).read_text())
        self._browser.click("input[type=submit]")
        self._browser.find("a", "DAGs")

    def start_connection(self, conn_id: str, connection_type: str) -> None:
        """Open the form of a new connection, and choose its type from those that are offered."""
        self._show_connections()
        self._browser.click("a[href$='/connection/add']")
        self._browser.type(self._browser.find("#conn_id"), conn_id)
        self._browser.click("[aria-labelledby=select2-conn_type-container]")
        self._browser.find("input.select2-search__field").send_keys(connection_type)
        self._browser.click("[role=option]", connection_type)

    def form(self) -> dict[str, tuple[str, str, bool]]:
        """What the open form asks for below the connection type: label -> help, placeholder, whether it is secret."""
        return {
            label: (_text(row, ".help-block"), *_placeholder(row))
            for label, row in self._rows().items()
            if label not in {"Connection Id", "Connection Type"}
        }

    def show_section(self, name: str) -> None:
        """All fields of the open form are shown."""
        self._browser.scroll_to_top()

    def fill(self, values: Mapping[str, str]) -> None:
        """Fill in fields of the open form, by their labels."""
        rows = self._rows()
        for label, value in values.items():
            self._browser.type(_entry(rows[label]), value)

    def test_connection(self) -> tuple[bool, str]:
        """Press Test in the open form.

        :return: whether it worked, and what is reported.
        """
        warning = self._browser.find(".alert").text
        self._browser.click("#test-connection")
        reported = self._browser.wait(
            lambda: [alert.text for alert in self._browser.all(".alert") if alert.text != warning], "the result"
        )[0]
        return reported.startswith("Connected to "), reported  # Airflow gives both results the same colour

    def correct_connection(self) -> None:
        """The form is still open."""

    def close_connection(self) -> None:
        """Save the open form."""
        self._browser.click("#model_form button[type=submit]")
        self._browser.find("a[href*='/connection/edit/']")

    def start_run(self, dag_id: str) -> None:
        """Open the form that starts a run."""
        self._browser.click("a", "DAGs")
        self._browser.reload_until(lambda: self._browser.all("a", dag_id), f"{dag_id} in the list")
        self._browser.click("a", dag_id)
        self._dag_id = dag_id
        self._browser.click("a[aria-label='Trigger DAG']")

    def fill_params(self, params: Mapping[str, str]) -> None:
        """Fill in the form that starts a run."""
        for name, value in params.items():
            self._browser.type(self._browser.find(f"#element_{name}"), value)

    def run(self) -> dict[str, str]:
        """Start the run, and watch it to its end.

        :return: task id -> state.
        """
        self._browser.click("#trigger_form button[type=submit]")
        self._browser.click("a", "Browse")
        self._browser.click("a[href$='/taskinstance/list/']")
        return self._browser.reload_until(self._states_at_the_end, "the end of the run", 300)

    def open_task(self, task_id: str) -> None:
        """Open the page of a task of the run."""
        self._browser.click("a", "DAGs")
        self._browser.click("a", self._dag_id)
        (row,) = self._browser.wait(
            lambda: [row for row in self._browser.all("tr", within=self._grid()) if row.text == task_id], task_id
        )
        self._browser.all("[data-testid=task-instance]", within=row)[-1].click()

    def links(self) -> dict[str, WebElement]:
        """The extra links of the open task, by their names."""
        self._browser.find("*", "Extra Links", within=self._grid())
        return {link.text: link for link in self._browser.all("a[target=_blank]", within=self._grid())}

    def xcom(self, key: str) -> str:
        """What the open task keeps under a key: JSON as it is shown."""
        self._browser.click("button", "XCom", within=self._grid())
        return self._browser.wait(lambda: self._value(key), f"the value of {key}")

    def _show_connections(self) -> None:
        self._browser.open(self._url)
        self._browser.click("a", "Admin")
        self._browser.click("a[href$='/connection/list/']")

    def _grid(self) -> ShadowRoot:
        return self._browser.shadow_root("#root")

    def _value(self, key: str) -> str:
        rows = [row.text for row in self._browser.all("tr", within=self._grid()) if row.text.split()[:1] == [key]]
        return "".join(row for row in rows if row.endswith(("}", "Copy")))  # what is read from the server comes later

    def _states_at_the_end(self) -> dict[str, str]:
        rows = [
            [cell.text for cell in row.find_elements("css selector", "td")] for row in self._browser.all("tbody tr")
        ]
        rows = [row for row in rows if row[RUN] not in self._ended_runs]
        states = {row[TASK].split()[0]: row[STATE] for row in rows}
        if not states or not set(states.values()) <= ENDED:
            return {}
        self._ended_runs |= {row[RUN] for row in rows}
        return states

    def _rows(self) -> dict[str, WebElement]:
        return {_text(row, "label").rstrip(" *"): row for row in self._browser.all("#model_form tr")}


def _entry(row: WebElement) -> WebElement:
    return row.find_element("css selector", "input, textarea, select")


def _placeholder(row: WebElement) -> tuple[str, bool]:
    entry = _entry(row)
    return entry.get_attribute("placeholder") or "", entry.get_attribute("type") == "password"


def _text(place: WebElement, css: str) -> str:
    return "".join(found.text for found in place.find_elements("css selector", css)).strip()
