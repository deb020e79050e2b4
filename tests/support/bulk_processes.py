"""Processes that convert a batch with the operator, and that a test kills; see ``bulk_process.py``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.bulk_runs import QUICK
from tests.support.history_recorder import RECORDER

REPO = Path(__file__).parents[2]
CONCURRENCY = 6


class BulkProcesses:
    """A sandbox and a batch, and processes that convert it."""

    def __init__(self, sandbox, path, leads, requests_per_second, timeout=QUICK["timeout"], **extra):
        self.sandbox = sandbox
        self.leads = leads
        self.path = path
        self.response = path.with_name("response")
        self.requests_per_second = requests_per_second
        extra = {
            "timeout": timeout,
            "settle_time": QUICK["settle_time"],
            "requests_per_second": requests_per_second,
            **extra,
        }
        environment = {
            **os.environ,
            "AIRFLOW_CONN_LEADCONV_DEFAULT": json.dumps({**sandbox.connection, "extra": extra}),
        }
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "tests.support.bulk_process"],
            cwd=REPO,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        while self.parent.stdout.readline().strip() != "ready":
            assert self.parent.poll() is None

    def start(self, run, try_number, path, **options):
        """Start the operator.

        :return: the id of the process.
        """
        if "leads_path" not in options:
            options["leads"] = self.leads
        options |= {"run": run, "try_number": try_number, "results_path": str(path), "max_failures": None}
        return self.start_kind("operator", **options)

    def start_kind(self, kind, response=None, **options):
        """Start what ``bulk_process.py`` calls so.

        :param response: file for what it returns; default: one for all.
        :return: the id of the process.
        """
        RECORDER.add_limit(self.sandbox.base_url, self.requests_per_second)
        options |= {"kind": kind, "response": str(response or self.response), "concurrency": CONCURRENCY}
        self.last = self._ask(options)
        return self.last

    def kill_after_posts(self, process, number):
        """Kill a process when so many more leads were sent."""
        self.wait_for_posts(number)
        os.kill(process, signal.SIGKILL)
        assert self.status(process) == signal.SIGKILL

    def wait_for_posts(self, number):
        """Wait until so many more leads were sent."""
        begun, deadline = len(self.posts), time.monotonic() + 300
        while len(self.posts) < begun + number:
            assert time.monotonic() < deadline, self.response.read_text()
            time.sleep(0.002)

    def status(self, process):
        """Wait for the end of a process."""
        return self._ask(process)

    def finish(self, process=None, response=None):
        """:return: what a process returned; default: the last one."""
        text = self.end(process, response)
        try:
            return json.loads(text)
        except ValueError:
            raise AssertionError(text) from None

    def end(self, process=None, response=None):
        """:return: what a process left: what it returned as JSON, or its error."""
        assert self.status(process or self.last) == 0
        return (response or self.response).read_text()

    def _ask(self, line):
        self.parent.stdin.write(json.dumps(line) + "\n")
        self.parent.stdin.flush()
        return int(self.read_number())

    def read_number(self):
        """The next line that is one; Airflow logs to stdout, too."""
        while not (line := self.parent.stdout.readline().strip()).isdecimal():
            assert self.parent.poll() is None
        return line

    def close(self):
        self.parent.stdin.close()
        self.parent.wait(30)

    @property
    def posts(self):
        return [request for request in self.sandbox.requests if request.method == "POST"]

    def requests_before_posting(self, since):
        methods = [request.method for request in self.sandbox.requests[since:]]
        return methods.index("POST") if "POST" in methods else len(methods)

    def check(self):
        counts = self.sandbox.conversion_counts
        assert {lead: counts.get(lead, 0) for lead in self.leads} == dict.fromkeys(self.leads, 1)
