"""Lineage of the operators and the hook, for OpenLineage and for Airflow's hook lineage.

An account's conversions are the dataset with the namespace ``leadconv://<account>`` and the name ``lead_conversions``.
Files follow OpenLineage's naming convention: bucket and key, or ``file`` and path. OpenLineage is imported only when it
asks for lineage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset, OutputDataset
    from airflow.providers.common.compat.sdk import Asset, BaseHook
    from airflow.providers.openlineage.extractors import OperatorLineage

NAME = "lead_conversions"
_NAMESPACES = {"s3a": "s3", "gcs": "gs"}


def conversions_read(account: str) -> Dataset:
    """Return the conversions of an account as an input."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    return Dataset(namespace=f"leadconv://{account}", name=NAME, facets={"schema": _schema()})


def conversions_created(account: str, rows: int) -> OutputDataset:
    """Return the conversions of an account as an output with ``rows`` new ones."""
    return _output(f"leadconv://{account}", NAME, rows=rows)


def file_read(path: str) -> Dataset:
    """Return a file as an input."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = _names(path)
    return Dataset(namespace=namespace, name=name)


def file_written(path: str, *, rows: int, size: int | None = None, conversions: bool = True) -> OutputDataset:
    """Return a file or folder as an output.

    :param rows: number of rows written.
    :param size: number of bytes written.
    :param conversions: whether the rows are conversions, so that the columns are known.
    """
    return _output(*_names(path), rows=rows, size=size, conversions=conversions)


def table_written(namespace: str, name: str, rows: int) -> OutputDataset:
    """Return a table of conversions as an output."""
    return _output(namespace, name, rows=rows)


def operator_lineage(*, inputs: list[Dataset], outputs: list[OutputDataset]) -> OperatorLineage[Any, Any]:
    """Return the lineage of a task, in the form that OpenLineage's listener expects of an operator."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(inputs=inputs, outputs=outputs)


def collect(hook: BaseHook, account: str, *, is_output: bool = False) -> None:
    """Report to Airflow's hook lineage that a hook reads or creates conversions.

    :param hook: the hook.
    :param account: account of its connection.
    :param is_output: whether the hook creates conversions.
    """
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    collector = get_hook_lineage_collector()  # type: ignore[no-untyped-call]  # of common-compat
    add = collector.add_output_asset if is_output else collector.add_input_asset
    add(context=hook, scheme="leadconv", asset_kwargs={"account": account})


def to_dataset(asset: Asset, lineage_context: Any) -> Dataset:  # noqa: ARG001  # as Airflow calls it
    """Return the dataset of an asset with the scheme ``leadconv``."""
    return conversions_read(urlsplit(asset.uri).netloc)


def _output(
    namespace: str, name: str, *, rows: int, size: int | None = None, conversions: bool = True
) -> OutputDataset:
    from airflow.providers.common.compat.openlineage.facet import OutputDataset, OutputStatisticsOutputDatasetFacet

    return OutputDataset(
        namespace=namespace,
        name=name,
        facets={"schema": _schema()} if conversions else {},
        outputFacets={"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows, size=size)},
    )


def _schema() -> Any:
    from airflow.providers.common.compat.openlineage.facet import SchemaDatasetFacet, SchemaDatasetFacetFields

    from airflow_provider_leadconv.api.models import ID_COLUMNS

    types = {**dict.fromkeys(ID_COLUMNS, "BIGINT"), "created_at": "TIMESTAMP"}
    return SchemaDatasetFacet(fields=[SchemaDatasetFacetFields(name=name, type=type_) for name, type_ in types.items()])


def _names(path: str) -> tuple[str, str]:
    parts = urlsplit(path)
    if not parts.scheme or parts.scheme == "file":
        return "file", parts.path
    bucket = parts.netloc.rpartition("@")[2]  # without Airflow's connection id
    return f"{_NAMESPACES.get(parts.scheme, parts.scheme)}://{bucket}", parts.path.strip("/") or "/"
