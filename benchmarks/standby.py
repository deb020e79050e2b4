"""Contestants in processes of their own, which take orders through a pipe."""

from __future__ import annotations

import gc
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.connection import Connection
from typing import Any, Self
from unittest.mock import patch

_PRELOADED = (
    "airflow_provider_leadconv.api.client",
    "airflow_provider_leadconv.operators.bulk",
    "airflow.providers.http.operators.http",
)


class ContestantError(RuntimeError):
    """A contestant broke; the text is its traceback."""


class Contestant:
    """A process that makes a callable, and calls it whenever it is told to. A context manager.

    Forked off a process that has imported Airflow already, or a dozen of them would take half a minute to start.

    :param make: makes the callable, in the process.
    :param arguments: for ``make``.
    :param fresh: start a new interpreter instead, whose memory holds nothing else.
    """

    def __init__(self, make: Callable[..., Callable[..., Any]], *arguments: Any, fresh: bool = False) -> None:
        preloaded = multiprocessing.get_context("forkserver")
        preloaded.set_forkserver_preload(list(_PRELOADED))
        context = multiprocessing.get_context("spawn") if fresh else preloaded
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_run, args=(far, make, arguments), daemon=True)
        with patch.dict(os.environ, {"AIRFLOW_HOME": _airflow_home().name, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}):
            self._process.start()
        far.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pipe.close()
        self._process.join()

    def wait_until_ready(self) -> None:
        """Wait until it can be called."""
        self._receive()

    def start(self, *arguments: Any) -> None:
        """Call it."""
        self._pipe.send(arguments)

    def result(self) -> tuple[Any, float]:
        """Wait for the call to end.

        :return: what it returned, and the CPU seconds it took.
        :raises ContestantError: if it broke.
        """
        result: tuple[Any, float] = self._receive()
        return result

    def call(self, *arguments: Any) -> tuple[Any, float]:
        """Call it, and wait for the call to end; for the result see :meth:`result`."""
        self.start(*arguments)
        return self.result()

    def _receive(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise ContestantError(answer)
        return answer


@cache
def _airflow_home() -> tempfile.TemporaryDirectory[str]:
    """Of its own, so that no one's settings, plugins or database have a part in it."""
    return tempfile.TemporaryDirectory(prefix="bench-airflow-")


def _run(pipe: Connection, make: Callable[..., Callable[..., Any]], arguments: Sequence[Any]) -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123  # a task's log would be of no interest
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        call = make(*arguments)
        gc.freeze()  # or whoever does not need Airflow would have to look through it
        pipe.send(None)
        while True:
            order = pipe.recv()
            began = time.process_time()
            result = call(*order)
            pipe.send((result, time.process_time() - began))
    except EOFError:  # nobody wants anything more
        return
    except Exception:  # noqa: BLE001  # told to whoever waits
        pipe.send(traceback.format_exc())
