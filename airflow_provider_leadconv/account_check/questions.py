"""The questions that a check asks with GET requests. Their answers are not in the vendor's documentation."""

from __future__ import annotations

import binascii
import logging
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import unquote

import msgspec

from airflow_provider_leadconv.account_check.observation import Observation, Observer
from airflow_provider_leadconv.account_check.report import Finding, Report
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import LeadConversionError, RequestNotSentError
from airflow_provider_leadconv.api.models import MAX_ID
from airflow_provider_leadconv.api.queries import FILTERS, MAX_PAGE, MAX_PER_PAGE

log = logging.getLogger(__name__)

MAX_REQUESTS = 30
LOOKUP_TRIES = 5
LOOKUP_PAUSE = 1.0
"""Seconds between look-ups of a conversion that the listing shows."""

_NEWEST = f"per_page={MAX_PER_PAGE}"
_RATE_HEADER = re.compile(r"rate|limit|retry|quota")


class UnsettledError(Exception):
    """A question cannot be answered in this account."""


def check_account(client: LeadConversionsClient) -> Report:
    """Check a live account with at most 30 GET requests. Nothing is changed.

    :param client: of the account.
    :return: the report.
    :raises LeadConversionError: if the account cannot be read at all: connection, token, or an unavailable API.
    """
    started, before = client.clock(), client.counters.requests
    observer = Observer(client, MAX_REQUESTS)
    newest = observer.get(_NEWEST)
    findings = {"scope": _scope(newest)}
    if newest.status == 200:
        findings |= {name: _answer(name, ask, observer) for name, ask in QUESTIONS.items()}
    return Report(
        findings=findings, requests=client.counters.requests - before, seconds=round(client.clock() - started, 1)
    )


def _answer(name: str, ask: Question, observer: Observer) -> Finding:
    log.info("Checking %s", name)
    try:
        return ask(observer)
    except UnsettledError as reason:
        text = str(reason)
    except RequestNotSentError:
        text = f"All {MAX_REQUESTS} requests were used before this question was answered."
    except LeadConversionError as error:
        text = f"The request failed: {type(error).__name__}, status {error.status_code}."
    return Finding(verdict="not settled", text=text)


def _scope(newest: Observation) -> Finding:
    observed = {"status": newest.status, "code": newest.code, "rows": len(newest.rows)}
    if newest.status == 200:
        text = "The token may read conversions. Whether it may convert leads cannot be checked without converting one."
        return Finding(verdict="expected", text=text, observed=observed)
    text = f"The API rejected the request with {newest.status} {newest.code or ''}: the token needs the scope read."
    return Finding(verdict="different", text=text, observed=observed)


def _order(observer: Observer) -> Finding:
    newest = observer.observations[0]
    if len(newest.ids) < 2:
        raise UnsettledError("The account has fewer than two conversions.")
    rises = sum(earlier <= later for earlier, later in pairwise(newest.ids))
    invalid = len(newest.rows) - sum(1 <= number <= MAX_ID for number in newest.ids)
    observed = {"rows": len(newest.rows), "rises": rises, "invalid_ids": invalid}
    if rises or invalid:
        text = (
            f"Of {len(newest.rows)} ids, {rises} are not below the one before, and {invalid} are not 64-bit integers."
        )
        return Finding(verdict="different", text=text, observed=observed)
    return Finding(verdict="expected", text=f"{len(newest.ids)} ids descend from row to row.", observed=observed)


def _count(observer: Observer) -> Finding:
    small = observer.get("per_page=2")
    if not small.link:
        raise UnsettledError("The account has no more than two conversions, so page and listing count the same.")
    observed = {"per_page": 2, "rows": len(small.rows), "count": small.count if isinstance(small.count, int) else None}
    if small.count is None:
        return Finding(verdict="expected", text="A page has no meta.count.", observed=observed)
    if small.count == len(small.rows):
        text = "meta.count is the number of rows on the page."
        return Finding(verdict="expected", text=text, observed=observed)
    if isinstance(small.count, int) and small.count > max(2, len(small.rows)):
        text = "meta.count is the total of the listing, and an export that ends before it fails."
        return Finding(verdict="expected", text=text, observed=observed)
    text = f"meta.count is {small.count!r:.20} on a page of {len(small.rows)} rows."
    return Finding(verdict="different", text=text, observed=observed, settings={"check_count": False})


def _cursor(observer: Observer) -> Finding:
    first = observer.get("per_page=2")
    if not first.link or not first.ids:
        raise UnsettledError("The account has too few conversions for a second page.")
    parameters = sorted(first.link_parameters)
    if first.cursor is None:
        text = f"The link to the next page has no cursor. Its parameters are {', '.join(parameters) or 'none'}."
        return Finding(verdict="different", text=text, observed={"parameters": parameters})
    following, again, wider = (
        observer.get(f"per_page={per_page}&cursor={first.cursor}") for per_page in (2, 2, MAX_PER_PAGE)
    )
    broken = observer.get("per_page=2&cursor=invalid")
    newest = observer.get(_NEWEST)  # later than the others, so that it lists what they do
    observed = {
        "form": _form(unquote(first.cursor)),
        "parameters": parameters,
        "continues": _continues(first, following, newest),
        "stable": following.ids == again.ids,
        "may_change_per_page": wider.ids[: len(following.ids)] == following.ids,
        "invalid_cursor": _page_described(broken, same=first, name="the first page"),
    }
    good = observed["continues"] and observed["stable"] and observed["may_change_per_page"]
    text = (
        f"A cursor is {observed['form']}. The next page "
        f"{'continues' if observed['continues'] else 'does not continue'} below the first, is "
        f"{'the same' if observed['stable'] else 'another'} when asked for twice, and an invalid cursor gets "
        f"{observed['invalid_cursor']}."
    )
    return Finding(verdict="expected" if good else "different", text=text, observed=observed)


def _continues(first: Observation, following: Observation, newest: Observation) -> bool:
    """Return whether a page begins right below another one."""
    below = [number for number in newest.ids if number < first.ids[-1]]
    return following.ids[:1] == below[:1]


def _form(cursor: str) -> str:
    try:
        document = msgspec.json.decode(b64decode(cursor, validate=False))
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError):
        return "opaque"
    return f"base64 of JSON with {', '.join(document)}" if isinstance(document, dict) else "base64 of JSON"


def _page_described(page: Observation, *, same: Observation | None = None, name: str = "") -> str:
    """Describe a page.

    :param same: a page that it may repeat.
    :param name: what to call it then.
    """
    if page.status != 200:
        return f"{page.status} {page.code or ''}".strip()
    if not page.rows:
        return "an empty page"
    return name if same is not None and page.ids == same.ids else "a page with rows"


def _page_numbers(observer: Observer) -> Finding:
    last, beyond = (observer.get(f"per_page=1&page={page}") for page in (MAX_PAGE, MAX_PAGE + 1))
    observed = {
        "page_50": _page_described(last),
        "page_51": _page_described(beyond, same=last, name="the same as page 50"),
    }
    text = f"Page 50 gets {observed['page_50']}, page 51 gets {observed['page_51']}. Exports use cursors only."
    return Finding(verdict="expected" if last.status == 200 else "different", text=text, observed=observed)


def _filters(observer: Observer) -> Finding:
    newest = observer.observations[0]
    observed: dict[str, str] = {}
    for name in FILTERS:
        value = next((row[name] for row in newest.rows if isinstance(row.get(name), int)), None)
        if value is None:
            observed[name] = "no record to ask for"
            continue
        page = observer.get(f"per_page=2&{name}={value}")
        others = sum(row.get(name) != value for row in page.rows)
        if page.status != 200 or not page.rows:
            observed[name] = _page_described(page)
        else:
            observed[name] = "ignored" if others else "works"
    unknown = observer.get(f"per_page=2&lead_id={MAX_ID}")
    observed["without a match"] = _page_described(unknown)
    wrong = [name for name in FILTERS if observed[name] not in {"works", "no record to ask for"}]
    if wrong or unknown.rows or unknown.status not in {200, 404}:
        text = "; ".join(f"{name}: {answer}" for name, answer in observed.items()) + "."
        return Finding(verdict="different", text=text, observed=observed)
    working = sum(answer == "works" for answer in observed.values())
    text = f"{working} of {len(FILTERS)} filters work, {len(FILTERS) - working} have no record to ask for. "
    text += f"A look-up without a match gets {observed['without a match']}."
    return Finding(verdict="expected" if working else "not settled", text=text, observed=observed)


def _filters_on_next_page(observer: Observer) -> Finding:
    newest = observer.observations[0]
    creators = Counter(row["creator_id"] for row in newest.rows if isinstance(row.get("creator_id"), int))
    creator, conversions = next(iter(creators.most_common(1)), (None, 0))
    if conversions < 2:
        raise UnsettledError("No user of this account has converted two of the newest leads.")
    first = observer.get(f"per_page=1&creator_id={creator}")
    if first.cursor is None or not first.ids:
        return Finding(verdict="different", text="A filtered page of one row has no next page, though two rows match.")
    following = observer.get(f"per_page=1&creator_id={creator}&cursor={first.cursor}")
    kept = first.link_parameters.get("creator_id") == str(creator)
    good = bool(following.ids) and following.ids[0] < first.ids[-1] and following.rows[0].get("creator_id") == creator
    observed = {"link_has_filter": kept, "filter_and_cursor": good}
    text = f"The link to the next page {'keeps' if kept else 'drops'} the filter. "
    text += f"Filter and cursor together {'work' if good else 'do not work'}."
    return Finding(verdict="expected" if good else "different", text=text, observed=observed)


def _lookups(observer: Observer) -> Finding:
    newest = observer.observations[0]
    if not newest.rows or not isinstance(newest.rows[0].get("lead_id"), int):
        raise UnsettledError("The account has no conversions.")
    client, lead = observer.client, newest.rows[0]["lead_id"]
    for _ in range(LOOKUP_TRIES):
        page = observer.get(f"per_page=1&lead_id={lead}")
        seconds = round(page.answered_at - newest.answered_at, 1)
        if page.rows:
            text = f"A look-up finds the newest conversion, {seconds} s after the listing showed it."
            return Finding(verdict="expected", text=text, observed={"found_within_seconds": seconds})
        client.sleep(LOOKUP_PAUSE)
    text = f"A look-up does not find the newest conversion {seconds} s after the listing showed it."
    settle_time = max(120.0, client.config.settle_time)
    observed = {"not_found_after_seconds": seconds}
    return Finding(verdict="different", text=text, observed=observed, settings={"settle_time": settle_time})


def _late_ids(observer: Observer) -> Finding:
    newest = observer.observations[0]
    if not newest.ids:
        raise UnsettledError("The account has no conversions.")
    again = observer.get(_NEWEST)
    seconds = round(again.answered_at - newest.answered_at, 1)
    appeared = set(again.ids) - set(newest.ids)
    late = sum(newest.ids[-1] < number < newest.ids[0] for number in appeared)
    observed = {"seconds": seconds, "new": len(appeared) - late, "late": late}
    if late:
        text = f"In {seconds} s, {late} conversions appeared below the newest id: ids become visible late."
        settle_time = max(60.0, 2 * observer.client.config.settle_time)
        return Finding(verdict="different", text=text, observed=observed, settings={"settle_time": settle_time})
    text = f"In {seconds} s, {observed['new']} conversions appeared, none of them below the newest id."
    return Finding(verdict="expected", text=text, observed=observed)


def _rate_headers(observer: Observer) -> Finding:
    headers = {
        name: value
        for observation in observer.observations
        for name, value in observation.headers.items()
        if _RATE_HEADER.search(name) and value.isascii() and value.isdigit()
    }
    throttled = observer.client.counters.throttled
    said = f"Responses have {', '.join(sorted(headers))}." if headers else "No response has a header about the rate."
    text = f"{said} {throttled} requests were throttled."
    return Finding(verdict="expected", text=text, observed={"headers": headers, "throttled": throttled})


Question = Callable[[Observer], Finding]
"""Answers from more requests and those before. It raises :class:`UnsettledError` if it cannot."""

QUESTIONS: dict[str, Question] = {
    "look-ups": _lookups,
    "order of ids": _order,
    "meta.count": _count,
    "cursor": _cursor,
    "page numbers": _page_numbers,
    "filters": _filters,
    "filters on the next page": _filters_on_next_page,
    "late ids": _late_ids,
    "rate headers": _rate_headers,
}
