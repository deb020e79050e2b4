from __future__ import annotations

import uuid

import pytest


@pytest.fixture
def bucket(s3_endpoint):
    """A new bucket, as a path of universal_pathlib."""
    from upath import UPath

    options = {"endpoint_url": s3_endpoint, "key": "key", "secret": "secret"}
    path = UPath(f"s3://bucket-{uuid.uuid4().hex}", **options)
    path.fs.mkdir(path.path)
    return path


@pytest.fixture(params=["local", "memory", "s3"])
def place(request, tmp_path):
    """A folder to export to, in each kind of store."""
    if request.param == "local":
        return tmp_path
    from upath import UPath

    if request.param == "memory":
        return UPath(f"memory://{uuid.uuid4().hex}/exports")
    return request.getfixturevalue("bucket") / "exports"
