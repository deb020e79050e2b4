"""Which errors of a file system are invalid parameters; tests/hooks/test_permanent_errors.py has them in tasks."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.hooks.paths import path_errors, storage_path


@pytest.mark.parametrize(
    "number",
    [errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EROFS, errno.ENAMETOOLONG],
)
def test_a_path_that_cannot_be_used_is_an_invalid_parameter(number):
    with pytest.raises(InvalidRequestError) as caught, path_errors("path", "/data/a.csv"):
        raise OSError(number, os.strerror(number), "/data/a.csv.tmp")
    assert str(caught.value).startswith("cannot use path /data/a.csv: ")
    assert os.strerror(number) in str(caught.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ESTALE])
def test_an_error_that_may_pass_is_left_to_the_retries(number):
    error = OSError(number, os.strerror(number))
    with pytest.raises(OSError) as caught, path_errors("path", "/data/a.csv"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gs://bucket/a.csv", "gs:// needs the package apache-airflow-providers-google"),
        ("gcs://key@bucket/a.csv", "gcs:// needs the package apache-airflow-providers-google"),
        ("abfs://a@b.dfs.core.windows.net/c", "abfs:// needs the package apache-airflow-providers-microsoft-azure"),
        ("abfss://store/a", "abfss:// needs the package apache-airflow-providers-microsoft-azure"),
        (
            "wasb://store/a",
            "use abfs:// instead of wasb://, and the package apache-airflow-providers-microsoft-azure",
        ),
        ("abc://bucket/a.csv", "no Airflow provider that is installed has a file system for abc://"),
    ],
)
def test_the_package_of_a_missing_file_system_is_named(path, reason):
    with pytest.raises(InvalidRequestError) as caught:
        storage_path("leads_path", path)
    assert str(caught.value) == f"leads_path {path}: {reason}."


def test_the_package_of_a_missing_library_is_named(monkeypatch):
    pytest.importorskip("airflow.providers.amazon.aws.fs.s3")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InvalidRequestError) as caught:
        storage_path("results_path", "s3://no-s3fs/results.jsonl")
    needs = "results_path s3://no-s3fs/results.jsonl: s3:// needs the package apache-airflow-providers-amazon[s3fs]: "
    assert str(caught.value).startswith(needs)
