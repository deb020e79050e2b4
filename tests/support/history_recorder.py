"""Collects, for the checker of histories, what each test did: its sandboxes and clients, its results and exports."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.models import COLUMNS
from airflow_provider_leadconv.api.queries import FILTERS
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox.history import History, token_hash
from airflow_provider_leadconv.sandbox.server import Sandbox
from airflow_provider_leadconv.sandbox.settings import SandboxSettings
from tests.support.history import Exported, ForeignRequest, Limit, Reported, Summary, check
from tests.support.servers import Server, hangs_up

FORMATS = (".jsonl", ".csv", ".parquet")
LARGEST = 20_000_000  # bytes; a file that takes long to read is checked by its own test
STATE_FILES = ("_manifest.json", "_checkpoint.json")


class HistoryRecorder:
    """The sandboxes that run in this process, and what is known about their clients.

    Sandboxes name ``foreign_host`` where a fault leads to another host, so that a client which follows is seen.
    """

    def __init__(self) -> None:
        self.foreign_host = Server(hangs_up)
        self.folders: set[Path] = set()
        """Where to look for results and exports, beside the folder of each test, while a sandbox runs."""
        self._is_installed = False
        self._known: dict[Sandbox, set[str]] = {}  # running sandbox -> its violations that were returned
        self._stopped: list[Sandbox] = []
        self._limits: list[tuple[str, Limit]] = []
        self._exports: list[Exported] = []
        self._summaries: list[Summary] = []

    def install(self) -> None:
        """Observe all sandboxes and clients from now on. Idempotent."""
        if self._is_installed:
            return
        self._is_installed = True
        self.foreign_host.__enter__()
        _observe(Sandbox, "start", self._add_sandbox)
        _observe(Sandbox, "stop", self._stopped.append)
        _observe(LeadConversionsClient, "__init__", self._add_client)
        _observe(AsyncLeadConversionsClient, "__init__", self._add_client)

    def add_limit(self, base_url: str, rate: float) -> None:
        """Note a client that is made in another process, and its rate."""
        self._limits.append((base_url, Limit(rate, time.monotonic())))

    def add_task(self, task: Any, value: Any, summary: Any, started: float) -> None:
        """Note what a task reported.

        :param task: the operator that was run.
        :param value: what it returned; None if it failed.
        :param summary: its XCom ``summary``, which a bulk has.
        :param started: when it was started.
        """
        now = time.monotonic()
        if isinstance(summary, dict):
            self._summaries.append(Summary(task.task_id, summary["converted"]))
        self._exports.append(Exported(f"XCom of {task.task_id}", list(_conversions(value)), None, now))
        if isinstance(task, LeadConversionExportOperator) and value:
            path = Path(value["path"])
            if path.is_file() and task.created_from is None is task.created_until:  # a folder has a manifest
                filters = {name: int(wanted) for name in FILTERS if (wanted := getattr(task, name)) is not None}
                self._exports.append(Exported(path.name, _rows(path), started, now, filters))

    def violations(self, folder: Path | None) -> list[str]:
        """Check what happened since the last call, and forget the sandboxes that have stopped.

        :param folder: where the test has its files.
        :return: violations that no earlier call has returned.
        """
        folders = {*self.folders, *([folder] if folder else [])}
        # With several sandboxes, it is not known which one a file is about.
        files = [file for each in folders for file in _files(each)] if len(self._known) == 1 else []
        new: list[str] = []
        for sandbox, known in self._known.items():
            found = check(
                sandbox.history,
                reported=filter(None, map(_reported, files)),
                summaries=self._summaries,
                exported=[*self._exports, *filter(None, map(_exported, files))],
                limits=[limit for base_url, limit in self._limits if base_url == sandbox.base_url],
                elsewhere=map(self._foreign_request, self.foreign_host.requests),
            )
            new += [violation for violation in found if violation not in known]
            known.update(found)
        self.forget()
        return new

    def forget(self) -> None:
        """Drop what was checked, and the sandboxes that have stopped.

        A sandbox that several tests shared stops after the last of them was checked: what the next test does is not
        about it.
        """
        for sandbox in self._stopped:
            self._known.pop(sandbox, None)
        self._stopped.clear()
        running = {sandbox.base_url for sandbox in self._known}
        self._limits = [(base_url, limit) for base_url, limit in self._limits if base_url in running]
        self._exports.clear()
        self._summaries.clear()
        self.foreign_host.requests.clear()
        if not running:
            self.folders.clear()

    def _add_sandbox(self, sandbox: Sandbox) -> None:
        self._known[sandbox] = set()
        if sandbox.settings.foreign_url == SandboxSettings().foreign_url:
            sandbox.change_settings(foreign_url=f"http://localhost:{self.foreign_host.port}")

    def _add_client(self, client: LeadConversionsClient | AsyncLeadConversionsClient) -> None:
        self.add_limit(client.config.base_url, client.config.requests_per_second)

    def _foreign_request(self, request: bytes) -> ForeignRequest:
        lines = request.decode("latin-1").split("\r\n")
        tokens = [line.split()[-1] for line in lines[1:] if line.lower().startswith("authorization:")]
        return ForeignRequest(self.foreign_host.url, token_hash(tokens[0]) if tokens else None)


def violations_of_process(base_url: str, folder: Path) -> list[str]:
    """Check what happened in a sandbox that runs in another process.

    :param base_url: of the sandbox, whose controls are asked.
    :param folder: where its users have their results and exports.
    """
    served = httpx2.get(f"{base_url}/_sandbox/history", trust_env=False)
    history = msgspec.json.decode(served.content, type=History)
    files = list(_files(folder))
    return check(history, reported=filter(None, map(_reported, files)), exported=filter(None, map(_exported, files)))


def _observe(cls: type, name: str, observer: Callable[[Any], None]) -> None:
    original = getattr(cls, name)

    @wraps(original)
    def observed(self: Any, *args: Any, **options: Any) -> Any:
        result = original(self, *args, **options)
        observer(self)
        return result

    setattr(cls, name, observed)


def _conversions(value: Any) -> Iterator[dict[str, Any]]:
    """The conversions in what a task returned, however deep."""
    if isinstance(value, dict) and set(COLUMNS) <= value.keys():
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _conversions(each)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < LARGEST:
            yield path


def _reported(path: Path) -> Reported | None:
    """What a results file says, if it is one."""
    if path.name.startswith(".") or not any(suffix in FORMATS for suffix in path.suffixes):
        return None
    try:
        rows = _rows(path)
    except (ValueError, EOFError):
        return None
    if not all(isinstance(row, dict) and {"lead_id", "status", "start_watermark"} <= row.keys() for row in rows):
        return None
    return Reported(path.name, [_with_ids(row) for row in rows], _monotonic(path.stat().st_mtime))


def _with_ids(row: dict[str, Any]) -> dict[str, Any]:
    """A row of results, whose ids are text in CSV."""
    ids = {name: int(row[name]) if row.get(name) not in (None, "") else None for name in ("lead_id", "conversion_id")}
    return {**row, **ids}


def _exported(path: Path) -> Exported | None:
    """What a reader sees of a folder, by its manifest, or of a file with the columns of an export."""
    if path.name == "_manifest.json":
        return _exported_folder(path)
    is_part = any((path.parent / name).exists() for name in STATE_FILES)
    if is_part or path.name.startswith(".") or not any(suffix in FORMATS for suffix in path.suffixes):
        return None
    try:
        rows = _rows(path)
    except ValueError:
        return None
    if not rows or not isinstance(rows[0], dict) or not set(COLUMNS) <= rows[0].keys():
        return None
    return Exported(path.name, rows, None, _monotonic(path.stat().st_mtime))


def _exported_folder(path: Path) -> Exported:
    manifest = json.loads(path.read_bytes())
    settings = manifest["settings"]
    is_whole = settings["created_from"] is None is settings["created_until"]
    rows = [row for part in manifest["parts"] for row in _rows(path.parent / part["name"])]
    started, finished = (_monotonic(_epoch(manifest[name])) for name in ("started", "finished"))
    return Exported(str(path.parent.name), rows, started if is_whole else None, finished, settings["filters"])


def _rows(path: Path) -> list[dict[str, Any]]:
    from tests.support.exports import rows_in  # which imports what reads the formats

    return rows_in(path.read_bytes(), path.name)


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _monotonic(epoch: float) -> float:
    """Seconds of the monotonic clock at a time of the wall clock."""
    return time.monotonic() - (time.time() - epoch)


RECORDER = HistoryRecorder()
"""Of this process. ``tests/conftest.py`` asks it after each test."""
