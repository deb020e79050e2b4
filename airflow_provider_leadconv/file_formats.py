"""The file formats of this package: what an export writes, a bulk conversion reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from airflow_provider_leadconv.api.exceptions import InvalidRequestError

_EXTENSIONS = {"jsonl": (".jsonl", ".ndjson"), "csv": (".csv",), "parquet": (".parquet",)}
_COMPRESSED_EXTENSIONS = {"gzip": ".gz", "zstd": ".zst"}

FILE_FORMATS = tuple(_EXTENSIONS)
COMPRESSIONS = tuple(_COMPRESSED_EXTENSIONS)
ENDINGS = ".jsonl or .csv (each also with .gz or .zst) or .parquet"
"""The endings of file names, for messages."""


class FileFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Format and compression of a file.

    :param name: ``jsonl``, ``csv`` or ``parquet``.
    :param compression: ``gzip``, ``zstd`` or ``None``. Parquet files are compressed internally and must have ``None``.
    :raises InvalidRequestError: if a value is not supported.
    """

    name: str = "jsonl"
    compression: str | None = None

    def __post_init__(self) -> None:
        if self.name not in FILE_FORMATS:
            raise InvalidRequestError(f"file_format must be one of {', '.join(FILE_FORMATS)}, got {self.name!r}")
        if self.compression is not None and self.compression not in COMPRESSIONS:
            raise InvalidRequestError(f"compression must be gzip, zstd or None, got {self.compression!r}")
        if self.compression is not None and self.name == "parquet":
            raise InvalidRequestError("compression is for jsonl and csv; a parquet file is compressed within")

    @property
    def suffix(self) -> str:
        """File name extension."""
        return _EXTENSIONS[self.name][0] + _COMPRESSED_EXTENSIONS.get(self.compression or "", "")

    @classmethod
    def from_name(cls, name: str, *, file_format: str | None = None, compression: str | None = None) -> FileFormat:
        """Derive the format from a file name, unless it is given.

        :param name: name of a file.
        :param file_format: ``jsonl``, ``csv`` or ``parquet``; default: by the extension.
        :param compression: ``gzip`` or ``zstd``; default: by the extension.
        :return: the format.
        :raises InvalidRequestError: if neither gives a format, or the name contradicts the given values.
        """
        named = named_format(name)
        for what, given, said in (("file_format", file_format, named[0]), ("compression", compression, named[1])):
            if given is not None and named[0] is not None and given != said:
                raise InvalidRequestError(f"{what} is {given!r}, but the name {name!r} says {said!r}; drop one of them")
        if file_format is None and named[0] is None:
            raise InvalidRequestError(f"{name!r} does not end in {ENDINGS}; give it such an ending, or set file_format")
        return cls(name=file_format or named[0] or "", compression=compression or named[1])

    @classmethod
    def by_extension(cls, name: str, what: str) -> FileFormat:
        """Derive the format from a file name only.

        :param name: path or name of a file.
        :param what: what the name is, for the message.
        :return: the format.
        :raises InvalidRequestError: if the name has no extension of a format.
        """
        file_format, compression = named_format(name)
        if file_format is None or (file_format == "parquet" and compression):
            raise InvalidRequestError(f"{what} must end in {ENDINGS}, got {name!r}", remedy="")
        return cls(name=file_format, compression=compression)


def named_format(name: str) -> tuple[str | None, str | None]:
    """Return the format and the compression that the extensions of a file name stand for, in any case of letters.

    :return: each ``None`` if there is no such extension.
    """
    stem, compression = name.lower(), None
    for word, extension in _COMPRESSED_EXTENSIONS.items():
        if stem.endswith(extension):
            stem, compression = stem.removesuffix(extension), word
            break
    file_format = next((word for word, extensions in _EXTENSIONS.items() if stem.endswith(extensions)), None)
    return file_format, compression


@contextmanager
def name_missing_extra(extra: str) -> Iterator[None]:
    """Name the extra of this package that installs what the ``with`` block imports.

    :raises ImportError: if it is not installed.
    """
    try:
        yield
    except ImportError as error:
        message = f"{error.name} is not installed: pip install 'airflow-provider-leadconv[{extra}]'"
        raise ImportError(message, name=error.name) from error
