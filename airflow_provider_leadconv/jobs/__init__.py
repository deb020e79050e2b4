"""Whole jobs on top of the API. Nothing in here knows Airflow.

Convert in bulk
    ``bulk_run`` is one run, from the first look to the verdict. It drives ``bulk``, which decides what is sent when,
    with ``bulk_look`` (what is converted already), ``bulk_tasks`` (what a worker does), ``bulk_watch`` (waiting and
    being stopped), ``workers`` (the threads) and ``ledger`` (what is known of each lead). ``leads`` and ``lead_files``
    read the input; ``results`` and ``journal`` keep the outcomes.
Export
    ``export`` writes one file, ``dataset`` a folder with its ``manifest``, ``table`` a SQL table. They take rows from
    ``reading``, a page ahead by ``readahead``; ``writers`` knows the formats, ``storage`` and ``object_folder`` where
    files go, and ``verification`` compares a second walk with the first.
Wait
    ``waiting`` knows who waits for which lead, ``lead_check`` looks for the leads of one sensor on a worker, ``news``
    knows what is new for an event.
All three
    ``feed`` reads the listing as a log. ``heartbeat`` logs a line now and then.
"""

from __future__ import annotations
