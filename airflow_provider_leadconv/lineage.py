"""What tasks read and wrote, for OpenLineage and for Airflow's hook lineage. Free where no OpenLineage is installed.

An account's conversions are the data set ``leadconv://<account>``, ``lead_conversions``; a file is what OpenLineage's
naming says of its scheme: bucket and key, or ``file`` and path.
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
    """:return: an account's conversions, as an input."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    return Dataset(namespace=f"leadconv://{account}", name=NAME, facets={"schema": _schema()})


def conversions_made(account: str, rows: int) -> OutputDataset:
    """:return: an account's conversions, as an output with ``rows`` new ones."""
    return _output(f"leadconv://{account}", NAME, rows=rows)


def file_read(path: str) -> Dataset:
    """:return: a file, as an input."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = _names(path)
    return Dataset(namespace=namespace, name=name)


def file_written(path: str, *, rows: int, size: int | None = None, conversions: bool = True) -> OutputDataset:
    """:return: a file or folder, as an output.

    :param rows: how many rows were written.
    :param size: how many bytes.
    :param conversions: whether its rows are conversions, with their columns.
    """
    return _output(*_names(path), rows=rows, size=size, conversions=conversions)


def table_written(namespace: str, name: str, rows: int) -> OutputDataset:
    """:return: a table with the columns of a conversion, as an output."""
    return _output(namespace, name, rows=rows)


def lineage(*, inputs: list[Dataset], outputs: list[OutputDataset]) -> OperatorLineage[Any, Any]:
    """:return: what OpenLineage's listener asks an operator for."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(inputs=inputs, outputs=outputs)


def collect(hook: BaseHook, account: str, *, made: bool = False) -> None:
    """Tell Airflow's hook lineage that a hook read an account's conversions, or ``made`` some.

    :param hook: the hook.
    :param account: of the connection.
    :param made: whether conversions were made, instead of read.
    """
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    collector = get_hook_lineage_collector()  # type: ignore[no-untyped-call]  # of common-compat
    add = collector.add_output_asset if made else collector.add_input_asset
    add(context=hook, scheme="leadconv", asset_kwargs={"account": account})


def to_dataset(asset: Asset, lineage_context: Any) -> Dataset:  # noqa: ARG001  # as Airflow calls it
    """:return: the data set of an asset whose URI is ours."""
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

    from airflow_provider_leadconv.jobs.writers import ID_COLUMNS

    types = {**dict.fromkeys(ID_COLUMNS, "BIGINT"), "created_at": "TIMESTAMP"}
    return SchemaDatasetFacet(fields=[SchemaDatasetFacetFields(name=name, type=type_) for name, type_ in types.items()])


def _names(path: str) -> tuple[str, str]:
    parts = urlsplit(path)
    if not parts.scheme or parts.scheme == "file":
        return "file", parts.path
    bucket = parts.netloc.rpartition("@")[2]  # without Airflow's connection id
    return f"{_NAMESPACES.get(parts.scheme, parts.scheme)}://{bucket}", parts.path.strip("/") or "/"
