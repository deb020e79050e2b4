"""A lease on a file: of several processes that write it, only the newest goes on.

Locks are not always shared between hosts, and an object store has none. So each process writes its claim, a small file,
over the claim of an earlier process. It acts only if it has read its own claim within the last :data:`LEASE_SECONDS`. A
process that found an earlier claim waits that long before it acts. Each measures on its own clock; no timestamps are
compared between hosts.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from uuid import uuid4

import msgspec

from airflow_provider_leadconv.storage.base import ConcurrentRunError, Folder

log = logging.getLogger(__name__)

LEASE_SECONDS = 10.0
"""How long a process may act after it has read its claim."""

RENEW_AFTER = LEASE_SECONDS / 2
"""Age in seconds from which a thread reads the claim again, while the other threads go on."""

_ATTEMPTS = 3


class Claim(msgspec.Struct, frozen=True):
    """What the file of a claim holds.

    :param owner: random identity of the process.
    :param run: identity of the run that it belongs to.
    :param host: its host.
    :param process: its process id.
    """

    owner: str
    run: str
    host: str
    process: int


class Lease:
    """The claim of this process to a file. Threads may share it.

    :param folder: where the claim is.
    :param name: name of the claimed file; the claim is beside it.
    :param run: identity of the run.
    :param clock: seconds on a clock that never runs backwards, also while the machine sleeps.
    """

    def __init__(self, folder: Folder, name: str, *, run: str, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._name = name
        self._claim_name = f"{name}.claim"
        self._claim = Claim(uuid4().hex, run, socket.gethostname(), os.getpid())
        self._clock = clock
        self._confirmed_at = clock()
        self._is_acquired = False
        self._loss = ""  # why this process may not act any more
        self._reading = threading.Lock()
        self.earlier = self._read()
        """The claim of an earlier process that did not release it: it was killed, or it is still there."""

    def acquire(self) -> None:
        """Write the claim. From now on, the earlier process acts for :data:`LEASE_SECONDS` at most."""
        self._confirmed_at = self._clock()
        with self._folder.draft(self._claim_name) as draft:
            draft.write(msgspec.json.encode(self._claim))
            self._folder.publish(draft, self._claim_name)
        self._is_acquired = True

    def confirm(self, *, now: bool = False) -> None:
        """Make sure that this process may act. Most calls read nothing.

        :param now: read the claim in any case; default: only if the last reading is too old.
        :raises ConcurrentRunError: if another process has taken over, or this one is a fork of the one that holds it.
        :raises OSError: if the claim cannot be read, or not fast enough.
        """
        if self._is_forked:
            raise ConcurrentRunError(f"{self._name} is being written by the process that this one was forked from")
        renew_after, valid_for = (0.0, 0.0) if now else (RENEW_AFTER, LEASE_SECONDS)
        for _ in range(_ATTEMPTS):
            # While one thread reads, the others go on until the lease is over.
            if self._age >= renew_after and self._reading.acquire(blocking=self._age >= valid_for):
                try:
                    self._read_again(renew_after, valid_for)
                finally:
                    self._reading.release()
            if self._loss:
                raise ConcurrentRunError(self._loss)
            if self._age < LEASE_SECONDS:
                return
        raise TimeoutError(f"reading {self._claim_name} took longer than {LEASE_SECONDS:.0f} s, {_ATTEMPTS} times")

    def release(self) -> None:
        """Remove the claim, if it is still that of this process. Harmless twice."""
        if self._is_acquired and not self.is_lost:
            self._is_acquired = False
            try:
                if self._read() == self._claim:
                    self._folder.remove(self._claim_name)
            except OSError as error:
                log.warning("Could not remove %s: %s", self._claim_name, error)

    @property
    def takeover_wait(self) -> float:
        """Seconds after which an earlier process acts no more; 0 if there is none."""
        return LEASE_SECONDS if self.earlier else 0.0

    @property
    def is_lost(self) -> bool:
        """Whether another process was found to have taken over, or this one was forked from the one that holds it."""
        return bool(self._loss) or self._is_forked

    @property
    def _is_forked(self) -> bool:
        return os.getpid() != self._claim.process

    @property
    def _age(self) -> float:
        return self._clock() - self._confirmed_at

    def _read_again(self, renew_after: float, valid_for: float) -> None:
        started = self._clock()
        if started - self._confirmed_at < renew_after:
            return  # another thread has read it meanwhile
        try:
            found = self._read()
        except OSError as error:
            if self._age >= valid_for:
                raise
            log.warning("Could not read %s; trying again: %s", self._claim_name, error)
            return
        if found == self._claim:
            self._confirmed_at = started
        elif found:
            self._loss = (
                f"another process continues this run (run {found.run}, process {found.process} on {found.host}, "
                f"according to {self._claim_name}); this process stops and leaves {self._name} to it"
            )
        else:
            self._loss = (
                f"{self._claim_name} was removed: another process has continued this run and ended, or someone deleted "
                f"the file; this process stops and does not write {self._name}"
            )

    def _read(self) -> Claim | None:
        try:
            with self._folder.open(self._claim_name) as file:
                return msgspec.json.decode(file.read(), type=Claim)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            return Claim("", "", "an unknown host", 0)  # damaged, so not of this process
