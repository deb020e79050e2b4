from __future__ import annotations

import uuid

import pytest


@pytest.fixture(scope="session")
def s3_endpoint():
    """A stand-in for S3, on loopback."""
    moto_server = pytest.importorskip("moto.server", reason="needs moto[s3,server]")
    pytest.importorskip("s3fs", reason="needs s3fs")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


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
