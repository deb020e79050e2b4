from __future__ import annotations

import pytest

from triggers.simulation import Api


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    api.install(monkeypatch)
    return api
