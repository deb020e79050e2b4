"""The long series: kills at random moments, large volumes, and everything that can go wrong at once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.messages import NoAnswer
from airflow_provider_leadconv.jobs.dataset import DatasetOptions, export_dataset
from airflow_provider_leadconv.jobs.storage import LocalFolder
from airflow_provider_leadconv.jobs.writers import FileFormat
from airflow_provider_leadconv.sandbox import Sandbox
from jobs.account import Account, answered, conversion, selection
from jobs.export_process import EndlessAccount
from jobs.folders import export, ids, manifest, names
from jobs.test_export_dataset import FORMATS

TESTS = Path(__file__).parents[1]
SLOWLY = 0.005
TIMES_AND_REQUESTS = {"started": None, "finished": None, "requests": None}
FRAMED_JSON = {"errors": [{"error": {"code": "rate_limit_exceeded", "message": "m"}, "meta": {}}]}


def start(folder, rows, rows_per_file, file_format, compression="", seconds_per_request=0.0):
    command = [sys.executable, "-m", "jobs.export_process"]
    command += map(str, (folder, rows, rows_per_file, file_format, compression, seconds_per_request))
    process = subprocess.Popen(
        command, cwd=TESTS.parent, env={**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    return process


class Trouble:
    """What happens to an account while 50,000 conversions are exported."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self.account = Account((conversion(n) for n in range(1, 50_001)), before=self._strike, repeated=self._repeated)
        self.deleted = set()
        self.hidden = {n: self.account.rows.pop(n) for n in self._random.sample(range(49_850, 50_001), 40)}
        self.at_start = set(self.account.ids)

    def _repeated(self):
        return self._random.choice([0, 0, 0, 5, 150])

    def _strike(self, number):
        roll = self._random.random()
        self.account.add(conversion(50_000 + number))
        if self.hidden and roll < 0.3:
            self.account.add(self.hidden.popitem()[1])
        if 0.3 < roll < 0.5:
            victim = self._random.choice(range(1, 50_000))
            if self.account.rows.pop(victim, None):
                self.deleted.add(victim)
        if roll < 0.04:
            return answered(503, {})
        if roll < 0.07:
            return NoAnswer(sent=True, reason="stalled")
        if roll < 0.12:
            return answered(429, FRAMED_JSON)
        return None


@pytest.mark.parametrize("how", FORMATS, ids=lambda how: how.suffix)
def test_all_kinds_of_trouble_at_once(tmp_path, how):
    trouble = Trouble(seed=len(how.suffix))
    export(trouble.account, tmp_path, how=how, rows_per_file=7_000)
    found = ids(tmp_path)
    assert len(found) == len(set(found))
    assert trouble.at_start - trouble.deleted <= set(found)
    assert {n for n in found if n <= 50_000} <= trouble.at_start | trouble.deleted | set(trouble.account.rows)


@pytest.mark.slow
def test_trouble_over_a_real_socket(tmp_path):
    faults = ["error_503:0.03", "throttle_429:0.05", "throttle_404:0.02", "stall:0.01,seconds=3", "repeat_rows:0.2"]
    with Sandbox(conversions=50_000, arrivals=1, faults=[*faults, "truncated_body:0.02"], rate=50) as sandbox:
        at_start = {row["id"] for row in sandbox.conversions}
        late = [sandbox.add_conversion(visible_after=5.0)["id"] for _ in range(50)]
        config = ClientConfig(token=sandbox.token, base_url=sandbox.base_url, requests_per_second=60, timeout=2)
        with LeadConversionsClient(config) as client:
            folder = LocalFolder(tmp_path)
            export_dataset(client, selection(), folder, FORMATS[1], DatasetOptions(incremental=True))
            assert at_start <= set(ids(tmp_path))
            export_dataset(client, selection(), folder, FORMATS[1], DatasetOptions(incremental=True))
    found = ids(tmp_path)
    assert len(found) == len(set(found))
    assert at_start | set(late) <= set(found)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(20))
def test_killed_at_a_random_moment(tmp_path, round_):
    how = FORMATS[round_ % len(FORMATS)]
    rows, rows_per_file = 20_000, 1_300
    delays = random.Random(round_)
    old = Account(conversion(n) for n in range(1, 301))
    export(old, tmp_path / "killed", how=how)
    export(EndlessAccount(rows), tmp_path / "quiet", how=how, rows_per_file=rows_per_file)
    kills = 0
    while True:
        process = start(tmp_path / "killed", rows, rows_per_file, how.file_format, how.compression or "", SLOWLY)
        time.sleep(delays.uniform(0, 0.5))
        process.kill()
        process.communicate()
        if process.returncode == 0 or manifest(tmp_path / "killed")["rows"] == rows:
            break
        kills += 1
        assert ids(tmp_path / "killed") == old.ids[::-1]
    one, other = manifest(tmp_path / "killed"), manifest(tmp_path / "quiet")
    assert {**one, **TIMES_AND_REQUESTS} == {**other, **TIMES_AND_REQUESTS}
    assert ids(tmp_path / "killed") == ids(tmp_path / "quiet")
    # Another run clears away the generation before, and litter.
    export(EndlessAccount(rows), tmp_path / "killed", how=how, rows_per_file=rows_per_file)
    assert set(names(tmp_path / "killed")) == set(names(tmp_path / "quiet"))
    print(f"{how.suffix}: killed {kills} times")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.parquet", "a.sqlite"])
def test_memory_does_not_grow_with_the_rows(tmp_path, name):
    if name == "a.sqlite":
        pytest.importorskip("airflow.providers.sqlite", reason="needs apache-airflow-providers-sqlite")
        kind = ("sqlite", None)
    else:
        how = FileFormat.of(name, file_format=None, compression=None)
        kind = (how.file_format, how.compression)
    peaks = {}
    for rows in (10_000, 1_000_000):
        process = start(tmp_path / str(rows), rows, 100_000, kind[0], kind[1] or "")
        out, _ = process.communicate(timeout=600)
        peaks[rows], requests = map(float, out.splitlines()[-1].split())
        assert requests <= rows / 200 + 2
    print(f"{name}: {peaks}")
    assert peaks[1_000_000] - peaks[10_000] < 30
