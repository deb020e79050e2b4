from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from airflow_provider_leadconv.storage.base import ConcurrentRunError
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.storage import content


def test_two_runs_exclude_each_other(tmp_path):
    one, two = LocalFolder(tmp_path), LocalFolder(tmp_path)
    with one.draft("a"), pytest.raises(ConcurrentRunError, match="another run is writing"), two.draft("a"):
        pass
    with one.locked(), pytest.raises(ConcurrentRunError), two.locked():
        pass
    with one.draft("a"), two.draft("b"), two.locked():
        pass


def test_lock_and_draft_of_a_killed_process_are_taken_over(tmp_path):
    code = """
        import os, sys
        from pathlib import Path
        from airflow_provider_leadconv.storage.local import LocalFolder
        folder = LocalFolder(Path(sys.argv[1]))
        with folder.locked(), folder.draft("a") as draft:
            draft.write(b"half of it")
            draft.flush()
            os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=False)
    assert done.returncode == -9
    folder = LocalFolder(tmp_path)
    assert ".a.tmp" in folder.names()
    with folder.locked(), folder.draft("a") as draft:
        draft.write(b"all")
        folder.publish(draft, "a")
    assert content(folder, "a") == b"all"
    assert sorted(folder.names()) == [".lock", "a"]
