from __future__ import annotations

import pytest

from tests.support.trigger_simulation import SimulatedApi


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> SimulatedApi:
    api = SimulatedApi()
    api.install(monkeypatch)
    return api
