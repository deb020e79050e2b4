"""403 for the first leads: the token, or the leads?"""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.bulk.sending.forbidden_guard import ForbiddenGuard


def test_ten_403_before_any_other_response_are_blamed_on_the_token():
    guard = ForbiddenGuard()
    assert [guard.forbidden() for _ in range(12)] == [False] * 9 + [True] * 3


@pytest.mark.parametrize("refused_before", [0, 1, 9])
def test_403_after_another_response_are_blamed_on_the_leads(refused_before):
    guard = ForbiddenGuard()
    assert not any(guard.forbidden() for _ in range(refused_before))
    guard.responded()
    assert not any(guard.forbidden() for _ in range(100))
