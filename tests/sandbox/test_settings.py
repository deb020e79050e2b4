from __future__ import annotations

import subprocess
import sys
from typing import get_type_hints

import msgspec
import pytest

from airflow_provider_leadconv.sandbox.settings import RATE_WINDOWS, SandboxSettings, SettingsOptions


def test_options_are_the_settings():
    assert get_type_hints(SettingsOptions) == get_type_hints(SandboxSettings)


def test_every_setting_is_described():
    assert tuple(SandboxSettings.descriptions()) == SandboxSettings.__struct_fields__


@pytest.mark.parametrize(
    "change",
    [
        {"rate": -1},
        {"rate": None},
        {"rate": "10"},
        {"rate": float("inf")},
        {"rate": float("nan")},
        {"rate_window": "leaky"},
        {"throttle_shape": "error_500"},
        {"retry_after": -1},
        {"latency": -0.1},
        {"post_status": 202},
        {"link_base": "api.getbase.com"},
        {"foreign_url": None},
        {"speed": 1},
    ],
)
def test_invalid_change_is_an_error_that_names_it(change):
    ((name, value),) = change.items()
    wrong = f"setting {name} of the sandbox is {value!r}: "
    with pytest.raises(ValueError, match=f"^{wrong if name != 'speed' else 'unknown setting .speed.'}"):
        SandboxSettings().changed(**change)


def test_change_keeps_the_other_settings():
    settings = SandboxSettings(latency=0.5).changed(rate=2)
    assert settings == SandboxSettings(latency=0.5, rate=2.0)
    assert msgspec.json.decode(msgspec.json.encode(settings), type=SandboxSettings) == settings


@pytest.mark.parametrize(
    ("window", "admitted"),
    [
        # Four requests at each of these moments, at 2 requests per second.
        ("token_bucket", [2, 1, 1, 2]),
        ("fixed", [2, 0, 2, 2]),
        ("sliding", [2, 0, 2, 2]),
    ],
)
def test_rate_window_decides_how_requests_are_counted(window, admitted):
    limit = RATE_WINDOWS[window](2.0)
    moments = (100.25, 100.75, 101.25, 110.0)
    assert [sum(limit.admit(moment) for _ in range(4)) for moment in moments] == admitted


def test_rate_zero_is_no_limit_and_the_default():
    assert SandboxSettings() == SandboxSettings(rate=2.0).changed(rate=0)
    assert SandboxSettings().rate_limit() is None


def test_settings_and_faults_need_no_web_framework():
    script = (
        "import sys\n"
        "from airflow_provider_leadconv.sandbox import Fault\n"
        "import airflow_provider_leadconv.sandbox.service, airflow_provider_leadconv.sandbox.settings\n"
        "assert not {'fastapi', 'starlette', 'uvicorn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
