"""Files of leads as users have them: each with the leads that are read, or the message, word for word."""
# ruff: noqa: E501  # a table, a line for each file

from __future__ import annotations

import gzip
import io
import json
import logging
import random
import zipfile
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs import Columns, read_leads, rows_of_file
from airflow_provider_leadconv.export.file import write_rows
from airflow_provider_leadconv.file_formats import FileFormat
from tests.export.test_formats import rows_of
from tests.support.endpoint import conversion

BIG = 2147492099
PLAIN = [BIG, 7]
SETTINGS = [ConversionRequest(BIG, 5, False), ConversionRequest(7)]
NAME_IT = "; name the column of the lead ids lead_id, or set lead_id_column"
ADD_HEADER = "the first row looks like a lead: insert a header before it, such as lead_id"
RENAME = "rename it to {0}, or add {1!r} to ignore_columns"
EXPONENT = "has an exponent, so digits may be lost: {}; write all its digits, in a spreadsheet by the number format 0"
ROUNDED = "may be a rounded float, since it is 2**53 or more: {}; pass it as an integer or a string of digits"
NARROW = ", in which neighbouring ids are the same number: use int64 or strings instead"
CP1252 = "not UTF-8 but probably Windows-1252 (Excel's CSV)"


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def xlsx():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return file.getvalue()


def exported(file_format, compression=None):
    rows = rows_of(conversion(3, lead_id=BIG), conversion(1, lead_id=7, created_at='odd, "time"\nof day'))
    file = io.BytesIO()
    write_rows(file, FileFormat(name=file_format, compression=compression), [rows])
    return file.getvalue()


def results(*statuses):
    return [
        {"lead_id": lead, "owner_id": None, "create_deal": None, "status": status, "error": None, "run": "r"}
        for lead, status in enumerate(statuses, 1)
    ]


def jsonl(*rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


TWO = f"lead_id\n{BIG}\n7\n".encode()
WIDE = f"Name,lead_id,Email\r\nAda,{BIG},ada@example.org\r\nBob,7,\r\n"
SET = f"lead_id,owner_id,create_deal\r\n{BIG},5,false\r\n7,,\r\n".encode()

FILES = [
    # Formats and compression
    ("one column", "x.csv", TWO, PLAIN),
    ("settings", "x.csv", SET, SETTINGS),
    ("name in capitals", "X.CSV", SET, SETTINGS),
    ("csv in gzip", "a.2026-11.csv.gz", gzip.compress(SET), SETTINGS),
    ("csv in zstd", "x.csv.zst", zstandard.compress(SET), SETTINGS),
    ("gzip in two members", "x.csv.gz", gzip.compress(TWO[:9]) + gzip.compress(TWO[9:]), PLAIN),
    ("zstd in two frames", "x.csv.zst", zstandard.compress(TWO[:9]) + zstandard.compress(TWO[9:]), PLAIN),
    ("jsonl of objects", "x.jsonl", jsonl({"lead_id": BIG, "owner_id": 5, "create_deal": False}, {"lead_id": 7}), SETTINGS),
    ("jsonl of ids", "x.jsonl", jsonl(*PLAIN), PLAIN),
    ("jsonl of strings", "x.ndjson", jsonl(*map(str, PLAIN)), PLAIN),
    ("jsonl of rows", "x.jsonl", jsonl([BIG], [7]), PLAIN),
    ("jsonl with empty lines", "x.jsonl", b"\n7\r\n\n", [7]),
    ("jsonl in gzip", "x.jsonl.gz", gzip.compress(jsonl(*PLAIN)), PLAIN),
    ("jsonl in zstd", "x.jsonl.zst", zstandard.compress(jsonl(*PLAIN)), PLAIN),
    ("parquet of integers", "x.parquet", parquet(lead_id=[BIG, 7], owner_id=[5, None], create_deal=[False, None]), SETTINGS),
    ("parquet of floats", "x.parquet", parquet(lead_id=[float(BIG), 7.0]), PLAIN),
    ("parquet of strings", "x.parquet", parquet(lead_id=[f"{BIG}.0", "7"]), PLAIN),
    ("parquet of decimals", "x.parquet", parquet(lead_id=[Decimal(BIG), Decimal(7)]), PLAIN),
    *(
        (f"an export: {name} {compression}", f"x{FileFormat(name=name, compression=compression).suffix}", exported(name, compression), PLAIN)
        for name in ("jsonl", "csv", "parquet")
        for compression in ((None,) if name == "parquet" else (None, "gzip", "zstd"))
    ),
    ("results", "x.jsonl", jsonl(*results("converted", "failed", "existing", "unknown")), [2, 4]),
    ("results as csv", "x.csv", b"lead_id,status,owner_id,run\n1,converted,,r\n2,failed,,r\n", [2]),
    ("results as parquet", "x.parquet", parquet(lead_id=[1, 2], status=["existing", "would_convert"], run=["r", "r"], error=["", ""]), [2]),
    ("failures with a header that a person has changed", "x.csv", b"Lead ID,reason,status,OWNER_ID,Create_Deal,run\n7,x,failed,5,FALSE,r\n", [ConversionRequest(7, 5, False)]),
    ("the same as jsonl", "x.jsonl", jsonl({"Lead ID": 7, "status": "failed", "OWNER_ID": 5, "run": "r"}), [ConversionRequest(7, 5)]),
    ("the same as parquet", "x.parquet", parquet(**{"Lead ID": [7], "status": ["failed"], "OWNER_ID": [5], "run": ["r"]}), [ConversionRequest(7, 5)]),
    ("results with a column that resembles a setting", "x.jsonl", jsonl({"lead_id": 7, "status": "failed", "owner": 5, "run": "r"}), f"x.jsonl: line 1: column 'owner' resembles owner_id: {RENAME.format('owner_id', 'owner')}"),
    ("no extension", "x", b"", "the name of a file of leads must end in .jsonl or .csv (each also with .gz or .zst) or .parquet, got 'x'"),
    ("another extension", "x.txt", TWO, "the name of a file of leads must end in .jsonl or .csv (each also with .gz or .zst) or .parquet, got 'x.txt'"),
    ("parquet in gzip", "x.parquet.gz", b"", "the name of a file of leads must end in .jsonl or .csv (each also with .gz or .zst) or .parquet, got 'x.parquet.gz'"),
    # Columns
    ("other columns", "x.csv", WIDE.encode(), PLAIN),
    ("Lead ID", "x.csv", WIDE.replace("lead_id", "Lead ID").encode(), PLAIN),
    ("LEAD_ID", "x.csv", WIDE.replace("lead_id", "LEAD_ID").encode(), PLAIN),
    ("spaces", "x.csv", WIDE.replace("lead_id", " lead_id ").encode(), PLAIN),
    ("quoted", "x.csv", WIDE.replace("lead_id", '"Lead-Id"').encode(), PLAIN),
    ("OWNER_ID as Oracle and Snowflake have it", "x.csv", SET.upper().replace(b"FALSE", b"False"), SETTINGS),
    ("none", "x.csv", b"Name,Email\nAda,a\n", f"x.csv: no column lead_id in the header ['Name', 'Email']{NAME_IT}"),
    ("no header", "x.csv", b"5\n7\n", f"x.csv: no column lead_id in the header ['5']; {ADD_HEADER}"),
    ("none in jsonl", "x.jsonl", jsonl({"id": 5}), f"x.jsonl: line 1: no column lead_id in the row ['id']{NAME_IT}"),
    ("none in parquet", "x.parquet", parquet(lead=[1]), f"x.parquet: no column lead_id in the schema ['lead']{NAME_IT}"),
    ("two", "x.csv", b"lead_id,Lead ID\n1,2\n", "x.csv: both 'lead_id' and 'Lead ID' are lead_id: remove one"),
    ("two in parquet", "x.parquet", parquet(lead_id=[1], LEAD_ID=[2]), "x.parquet: both 'lead_id' and 'LEAD_ID' are lead_id: remove one"),
    ("owner", "x.csv", b"lead_id,owner\n1,2\n", f"x.csv: column 'owner' resembles owner_id: {RENAME.format('owner_id', 'owner')}"),
    ("Owner", "x.csv", b"lead_id,Owner\n1,2\n", f"x.csv: column 'Owner' resembles owner_id: {RENAME.format('owner_id', 'Owner')}"),
    ("create deal", "x.csv", b"lead_id,create deal\n1,2\n", f"x.csv: column 'create deal' resembles create_deal: {RENAME.format('create_deal', 'create deal')}"),
    ("ownerid in jsonl", "x.jsonl", jsonl(7, {"lead_id": 1, "ownerid": 2}), f"x.jsonl: line 2: column 'ownerid' resembles owner_id: {RENAME.format('owner_id', 'ownerid')}"),
    # Separators, quotes and lines
    ("semicolons", "x.csv", WIDE.replace(",", ";").encode(), PLAIN),
    ("tabs", "x.csv", WIDE.replace(",", "\t").encode(), PLAIN),
    ("bars", "x.csv", WIDE.replace(",", "|").encode(), PLAIN),
    ("bars in a name with commas", "x.csv", b'"a|b|c|d",lead_id\n1,7\n', [7]),
    *(
        (f"sep={separator!r}", "x.csv", f"sep={separator}\r\n{WIDE.replace(',', separator)}".encode(encoding), PLAIN)
        for separator in (",", ";", "\t", "|", "^")
        for encoding in ("utf-8", "utf-8-sig", "utf-16")
    ),
    ("sep= in quotes", "x.csv", b'"sep=;"\r\nlead_id;Name\r\n7;a,b,c,d\r\n', [7]),
    ("the line of a row after sep=", "x.csv", b"SEP=;\nlead_id;Name\nx;d\n", "x.csv: line 3: lead_id must be an integer, got 'x' (str)"),
    ("sep= alone", "x.csv", b"sep=;\r\n", "x.csv: the file is empty: it has not even a header"),
    ("another separator than sep= says", "x.csv", b"sep=;\nlead_id,Name\n7,a\n", f"x.csv: no column lead_id in the header ['lead_id,Name']{NAME_IT}"),
    ("a comma in a name with semicolons", "x.csv", b'"Name, first";"lead_id"\n"a;b";7\n', [7]),
    ("semicolons in a name with commas", "x.csv", b'"a;b;c;d",lead_id\n1,7\n', [7]),
    ("line ends of an old Mac", "x.csv", TWO.replace(b"\n", b"\r"), PLAIN),
    ("no end of the last line", "x.csv", TWO.rstrip(), PLAIN),
    ("empty rows", "x.csv", b"\r\nlead_id,Name\r\n\r\n7,x\r\n,\r\n \r\n", [7]),
    ("rows without values before the header", "x.csv", b',\r\n"",\r\nlead_id,Name\r\n7,x\r\n', [7]),
    ("rows without values before the header, with sep=", "x.csv", b"sep=;\r\n;\r\nlead_id;Name\r\n7;x\r\n", [7]),
    ("lines in a quoted name", "x.csv", b'"Notes\nof calls",lead_id\n"a\nb\n""c""",7\n', [7]),
    ("the line of a row after one of three lines", "x.csv", b'lead_id,Notes\n7,"a\nb\nc"\n\nx,d\n', "x.csv: line 6: lead_id must be an integer, got 'x' (str)"),
    ("too few fields", "x.csv", b"lead_id,Name\n7\n", "x.csv: line 2: the number of fields is 1, but 2 in the header"),
    ("too many fields", "x.csv", b"lead_id,Name\n7,a,b\n", "x.csv: line 2: the number of fields is 3, but 2 in the header"),
    ("an open quote", "x.csv", b'lead_id,Name\n7,a\n8,"b\n9,c\n', "x.csv: line 3 is not CSV: unexpected end of data"),
    ("no JSON", "x.jsonl", b"1\n{\n2\n", "x.jsonl: line 2: not JSON: Input data was truncated"),
    ("JSON nested deeply", "x.jsonl", b"1\n" + b"[" * 100_000, "x.jsonl: line 2: JSON that is nested too deeply"),
    ("a repeated key", "x.jsonl", b'{"lead_id": 7}\n{"lead_id": 8, "lead_id": 9}\n', "x.jsonl: line 2: the key 'lead_id' is repeated: remove one"),
    ("a repeated key in a row of one", "x.jsonl", b'[{"lead_id": 8, "lead\\u005fid": 9}]\n', "x.jsonl: line 1: the key 'lead_id' is repeated: remove one"),
    ("a repeated key in a column that is ignored", "x.jsonl", b'{"lead_id": 7, "tags": {"a": 1, "a": 2}}\n', [7]),
    ("an array over many lines", "x.jsonl", b"[\n7\n]\n", "x.jsonl: line 1: not JSON: Input data was truncated; line 3: not JSON: JSON is malformed: invalid character (byte 0)"),
    # Encodings
    ("UTF-8 with a mark", "x.csv", TWO.decode().encode("utf-8-sig"), PLAIN),
    ("JSON with a mark", "x.jsonl", b"\xef\xbb\xbf7\n", [7]),
    ("UTF-16 with tabs, as Excel's Unicode text", "x.csv", WIDE.replace(",", "\t").replace("Ada", "Åda").encode("utf-16"), PLAIN),
    ("UTF-16, big-endian, without a mark", "x.csv", WIDE.encode("utf-16-be"), PLAIN),
    ("UTF-32", "x.csv", WIDE.encode("utf-32"), PLAIN),
    ("UTF-32, little-endian, without a mark", "x.csv", WIDE.encode("utf-32-le"), PLAIN),
    ("UTF-32, big-endian, without a mark", "x.jsonl", b"7\n".decode().encode("utf-32-be"), [7]),
    ("JSON in UTF-16", "x.jsonl", '{"lead_id": 7}\n'.encode("utf-16"), [7]),
    ("cp1252 in a column that is ignored", "x.csv", WIDE.replace("Ada", "Åda").replace("Name", "Prénom").encode("cp1252"), PLAIN),
    ("cp1252 in JSON that is ignored", "x.jsonl", b'{"lead_id": 7, "Name": "\xc5da"}\n', [7]),
    ("cp1252 in an id", "x.csv", b"lead_id\n2\xa0147\n", f"x.csv: line 2: lead_id is {CP1252}: '2\\xa0147'; save the file as UTF-8"),
    ("cp1252 in a setting", "x.csv", b"lead_id,create_deal\n7,n\xe3o\n", f"x.csv: line 2: create_deal is {CP1252}: 'não'; save the file as UTF-8"),
    ("cp1252 in the header, without ids", "x.csv", b"Pr\xe9nom\nAda\n", f"x.csv: no column lead_id in the header ['Prénom']; the names are {CP1252}: save the file as UTF-8{NAME_IT}"),
    ("Shift JIS in an id", "x.csv", "lead_id\nリード7\n".encode("shift-jis"), "x.csv: line 2: lead_id is not UTF-8 but probably another encoding: 'ƒŠ�[ƒh7'; save the file as UTF-8"),
    # Ids
    ("a whole float", "x.csv", f"lead_id\n{BIG}.0\n 7.00 \n".encode(), PLAIN),
    ("a no-break space after an id", "x.csv", "lead_id\n7\xa0\n".encode(), [7]),
    ("an exponent", "x.csv", b"lead_id\n2.1475E+09\n", f"x.csv: line 2: lead_id {EXPONENT.format('2.1475E+09')}"),
    ("an exponent in JSON", "x.jsonl", b'{"lead_id": 2.1475E+09}\n', f"x.jsonl: line 1: lead_id {EXPONENT.format('2.1475E+09')}"),
    ("an exponent with a comma", "x.csv", b"lead_id;a\n2,1475E+09;\n", f"x.csv: line 2: lead_id {EXPONENT.format('2,1475E+09')}"),
    ("a fraction", "x.csv", b"Lead ID\n1.5\n", "x.csv: line 2: 'Lead ID' must be an integer, got '1.5' (str)"),
    ("thousands with a point", "x.csv", b"lead_id;Name\n12.000;x\n", "x.csv: line 2: lead_id may be 12 or 12000, since a point separates thousands in some countries: '12.000'; write it without a point"),
    ("thousands", "x.csv", b'lead_id\n"2,147"\n', "x.csv: line 2: lead_id must be an integer, got '2,147' (str)"),
    ("a float of 2**53", "x.parquet", parquet(lead_id=[7.0, 2.0**53]), f"x.parquet: row 2: lead_id {ROUNDED.format('9007199254740992.0')}"),
    ("a float of 2**53 in JSON", "x.jsonl", b'{"Lead ID": 9007199254740993.0}\n', f"x.jsonl: line 1: 'Lead ID' {ROUNDED.format(repr('9007199254740993.0'))}"),
    ("a float of 2**53 in csv", "x.csv", b"lead_id,owner_id\n7,9007199254740993.0\n", f"x.csv: line 2: owner_id {ROUNDED.format(repr('9007199254740993.0'))}"),
    ("a narrow float", "x.parquet", parquet(lead_id=np.array([7], np.float32)), f"x.parquet: column lead_id is float32{NARROW}"),
    ("a narrow float as owner", "x.parquet", parquet(lead_id=[7], owner_id=np.array([5], np.float16)), f"x.parquet: column owner_id is float16{NARROW}"),
    ("a narrow float that is ignored", "x.parquet", parquet(lead_id=[7], score=np.array([0.5], np.float32)), [7]),
    ("zero", "x.csv", b"lead_id\n0\n", "x.csv: line 2: lead_id must be between 1 and 2**63-1, got '0' (str)"),
    ("2**63", "x.csv", b"lead_id\n9223372036854775808\n", "x.csv: line 2: lead_id must be between 1 and 2**63-1, got '9223372036854775808' (str)"),
    ("infinite in JSON", "x.jsonl", b"1e999\n", f"x.jsonl: line 1: lead_id {EXPONENT.format('1e999')}"),
    ("infinite in JSON that is ignored", "x.jsonl", b'{"lead_id": 7, "score": 1e999}\n', [7]),
    ("an empty id", "x.csv", b"lead_id,Name\n7,a\n,b\n", "x.csv: line 3: lead_id is empty"),
    ("null in parquet", "x.parquet", parquet(lead_id=[7, None]), "x.parquet: row 2: lead_id is empty"),
    ("a control character", "x.csv", b"lead_id\n5\x1d\n", "x.csv: line 2: lead_id must be an integer, got '5\\x1d' (str)"),
    ("settings in Excel's capitals", "x.csv", b"lead_id,create_deal\n7,FALSE\n", [ConversionRequest(7, None, False)]),
    ("a setting that is none", "x.csv", b"lead_id,create_deal\n7,yes\n", "x.csv: line 2: create_deal must be true or false, got 'yes' (str)"),
    ("repeated", "x.csv", b"lead_id\n7\n7\n8\n", [7, 8]),
    ("repeated with another owner", "x.csv", b"lead_id,owner_id\n7,1\n8,\n7,2\n", "x.csv: line 4: lead 7 is in line 2 with different owner_id or create_deal"),
    # Nothing, or something else
    ("empty", "x.csv", b"", "x.csv: the file is empty: it has not even a header"),
    ("empty lines", "x.csv", b"\r\n\r\n", "x.csv: the file is empty: it has not even a header"),
    ("empty rows alone", "x.csv", b',,\r\n"",,\r\n', "x.csv: the file is empty: it has not even a header"),
    ("no values with another separator", "x.csv", b"sep=^\n^^\n", "x.csv: the file is empty: it has not even a header"),
    ("empty in gzip", "x.csv.gz", gzip.compress(b""), "x.csv.gz: the file is empty: it has not even a header"),
    ("empty parquet", "x.parquet", b"", "x.parquet: the file is empty"),
    ("empty jsonl, as results of no leads", "x.jsonl", b"", []),
    ("a header alone", "x.csv", b"lead_id,Name\r\n", []),
    ("a schema alone", "x.parquet", parquet(lead_id=pa.array([], pa.int64())), []),
    ("xlsx", "x.csv", xlsx(), "x.csv: the file is a zip archive, such as an Excel workbook (.xlsx): save it as CSV UTF-8, or unpack it"),
    ("xls", "x.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "x.csv: the file is an Excel workbook (.xls): save it as CSV UTF-8"),
    ("gzip", "x.csv", gzip.compress(TWO), "x.csv: the file is compressed by gzip: give it a name that ends in .gz"),
    ("zstd", "x.jsonl", zstandard.compress(TWO), "x.jsonl: the file is compressed by zstd: give it a name that ends in .zst"),
    ("parquet", "x.csv", parquet(lead_id=[7]), "x.csv: the file is Parquet: give it a name that ends in .parquet"),
    ("xlsx as parquet", "x.parquet", xlsx(), "x.parquet: the file is a zip archive, such as an Excel workbook (.xlsx): save it as CSV UTF-8, or unpack it"),
    ("not gzip", "x.csv.gz", TWO, "x.csv.gz: the file is not in gzip format, or damaged: Not a gzipped file (b'le')"),
    ("half a gzip file", "x.csv.gz", gzip.compress(SET)[:-4], "x.csv.gz: the file is not in gzip format, or damaged: Compressed file ended before the end-of-stream marker was reached"),
    ("half a zstd file", "x.csv.zst", zstandard.compress(SET)[:-4], "x.csv.zst: the file is not a complete zstd file: its end is missing"),
    ("not zstd", "x.csv.zst", TWO, "x.csv.zst: the file is not in zstd format, or damaged: zstd decompressor error: Unknown frame descriptor"),
    ("half a parquet file", "x.parquet", b"PAR1", "x.parquet: the file is not Parquet, or damaged: Parquet file size is 4 bytes, smaller than the minimum file footer (8 bytes)"),
    # Huge
    ("a hundred thousand rows", "x.csv", b"lead_id,Name\n" + b"".join(b"%d,x\n" % n for n in range(1, 100_001)), [*range(1, 100_001)]),
    ("two hundred columns", "x.csv", ",".join(["lead_id", *(f"c{n}" for n in range(199))]).encode() + b"\n7" + b"," * 199, [7]),
    ("a field that is too large", "x.csv", b"lead_id,Notes\n7," + b"x" * 200_000 + b"\n", "x.csv: line 2 is not CSV: field larger than field limit (131072)"),
    ("a line that is too long", "x.jsonl", b'1\n"' + b"x" * 2**24, "x.jsonl: line 2 is longer than 16777216 characters"),
]  # fmt: skip


def read_file(name, content, **options):
    columns = Columns(**options)
    return read_leads(rows_of_file(name, io.BytesIO(content), columns), columns=columns, source=name)


@pytest.mark.parametrize(("name", "content", "expected"), [pytest.param(*row[1:], id=row[0]) for row in FILES])
def test_a_file_gives_its_leads_or_says_what_to_change(name, content, expected):
    if isinstance(expected, str):
        with pytest.raises(InvalidRequestError) as caught:
            read_file(name, content)
        assert str(caught.value) == f"{expected}. Nothing was converted."
    else:
        assert read_file(name, content) == [
            lead if isinstance(lead, ConversionRequest) else ConversionRequest(lead) for lead in expected
        ]


@pytest.mark.parametrize("name", ["owner", "Owner", "create deal", "ownerid", "Owner Name", "Create Deal?", "onwer_id"])
def test_what_resembles_a_setting_is_ignored_on_request(name):
    content = f"lead_id,{name}\n7,x\n".encode()
    with pytest.raises(InvalidRequestError, match="resembles"):
        read_file("x.csv", content)
    assert read_file("x.csv", content, ignore_columns=[name]) == [ConversionRequest(7)]


def test_another_column_of_ids_than_lead_id():
    content = b"lead_id,Sell lead\n00Q5e,7\n"
    assert read_file("x.csv", content, lead_id_column="sell_lead") == [ConversionRequest(7)]
    with pytest.raises(InvalidRequestError, match=r"no column Sell in the header \['lead_id', 'Sell lead'\]"):
        read_file("x.csv", content, lead_id_column="Sell")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", b"lead_id,owner_id,status,run\n7,5,failed,r\n"),
        ("x.jsonl", jsonl({"lead_id": 7, "owner_id": 5, "status": "failed", "run": "r"})),
        ("x.parquet", parquet(lead_id=[7], owner_id=[5], status=["failed"], run=["r"])),
    ],
)
def test_results_are_read_by_a_task_whose_leads_have_another_column_of_ids(name, content):
    assert read_file(name, content, lead_id_column="Sell lead") == [ConversionRequest(7, 5)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"lead_id\n", "x.csv has a header but no rows: there is nothing to convert"),
        ("x.jsonl", b"\n", "x.jsonl has no rows: there is nothing to convert"),
        ("x.parquet", parquet(lead_id=pa.array([], pa.int64())), "x.parquet has no rows: there is nothing to convert"),
        ("x.csv", WIDE.encode(), "Ignored columns of x.csv: Name, Email"),
        ("x.parquet", parquet(lead_id=[1], Name=["x"]), "Ignored columns of x.parquet: Name"),
    ],
)
def test_the_log_says_what_was_ignored_and_what_is_empty(name, content, message, caplog):
    caplog.set_level(logging.INFO)
    read_file(name, content)
    assert caplog.messages == [message]


def test_columns_that_are_ignored_are_not_read():
    # Python has no such time: to read the column is an error.
    odd = parquet(lead_id=[7], when=pa.array([2**62], pa.timestamp("us")))
    assert read_file("x.parquet", odd) == [ConversionRequest(7)]


SAMPLES = [
    ("x.parquet", parquet(lead_id=[BIG, 7] * 50, owner_id=["5", None] * 50)),
    ("x.csv", WIDE.encode()),
    ("x.csv.gz", gzip.compress(WIDE.encode())),
    ("x.csv.zst", zstandard.ZstdCompressor(write_checksum=True).compress(WIDE.encode())),
    ("x.jsonl", jsonl({"lead_id": BIG, "Name": "Ada"}, 7)),
]


@pytest.mark.parametrize(("name", "content"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_a_damaged_file_is_an_invalid_input_whatever_the_damage(name, content):
    errors = 0
    for seed in range(300):
        damage = random.Random(seed)
        damaged = bytearray(content[: damage.randrange(len(content))] if seed % 3 == 0 else content)
        for _ in range(damage.randrange(1, 4)):
            if damaged:
                damaged[damage.randrange(len(damaged))] = damage.randrange(256)
        try:
            read_file(name, bytes(damaged))
        except InvalidRequestError:
            errors += 1
    assert errors > 100


def test_what_is_not_installed_is_named(monkeypatch):
    for module, name in (("pyarrow", "x.parquet"), ("zstandard", "x.csv.zst")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(InvalidRequestError, match=r"pip install 'airflow-provider-leadconv\[(parquet|zstd)\]'"):
            read_file(name, b"PAR1")


@pytest.mark.parametrize("line", [b"7\n", b'{"lead_id": 7, "Name": "x"}\n'])
def test_a_file_is_read_as_a_stream(line):
    class Endless(io.RawIOBase):
        def __init__(self):
            self.given = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.given += len(buffer)
            buffer[:] = line * (len(buffer) // len(line)) + b"\n" * (len(buffer) % len(line))
            return len(buffer)

    file = Endless()
    rows = rows_of_file("leads.jsonl", io.BufferedReader(file))
    for _ in range(1000):
        next(rows)
    assert file.given < 150_000
