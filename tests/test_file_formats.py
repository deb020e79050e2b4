from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.file_formats import COMPRESSIONS, FILE_FORMATS, FileFormat, named_format


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("a.jsonl", (None, None), ("jsonl", None)),
        ("a.b.csv.gz", (None, None), ("csv", "gzip")),
        ("a.jsonl.zst", ("jsonl", "zstd"), ("jsonl", "zstd")),
        ("a.parquet", (None, None), ("parquet", None)),
        ("a", ("csv", "gzip"), ("csv", "gzip")),
        ("a.gz", ("jsonl", None), ("jsonl", "gzip")),
        ("A.NDJSON.GZ", (None, None), ("jsonl", "gzip")),
    ],
)
def test_format_by_name(name, given, expected):
    how = FileFormat.from_name(name, file_format=given[0], compression=given[1])
    assert (how.name, how.compression) == expected


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("a.txt", (None, None), "does not end in .jsonl"),
        ("a.csv", ("jsonl", None), "file_format is 'jsonl', but the name 'a.csv' says 'csv'"),
        ("a.csv.gz", (None, "zstd"), "compression is 'zstd', but the name 'a.csv.gz' says 'gzip'"),
        ("a.csv", (None, "gzip"), "compression is 'gzip', but the name 'a.csv' says None"),
        ("a", ("xml", None), "file_format must be one of jsonl, csv, parquet, got 'xml'"),
        ("a", ("csv", "zip"), "compression must be gzip, zstd or None, got 'zip'"),
        ("a.parquet.gz", (None, None), "a parquet file is compressed within"),
    ],
)
def test_unusable_format(name, given, complaint):
    with pytest.raises(InvalidRequestError, match=complaint.replace(".", r"\.")):
        FileFormat.from_name(name, file_format=given[0], compression=given[1])


@pytest.mark.parametrize("name", FILE_FORMATS)
@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
def test_the_suffix_of_a_format_names_it(name, compression):
    if name == "parquet":
        compression = None
    assert named_format(f"x{FileFormat(name=name, compression=compression).suffix}") == (name, compression)
