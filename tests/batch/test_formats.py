"""What rows are read from and written to: every format, folders, partitions, filters; and what is wrong with files."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hfspec.errors import StorageError, UsageError

pa = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")

import pyarrow.parquet as pq  # noqa: E402
from pyarrow import ipc  # noqa: E402

from hfspec.batch.filters import parsed  # noqa: E402
from hfspec.batch.finding import find, found_files  # noqa: E402
from hfspec.batch.places import place  # noqa: E402
from hfspec.batch.rows import InputRows  # noqa: E402
from hfspec.batch.spans import Sizes  # noqa: E402
from hfspec.batch.writers import WRITERS  # noqa: E402

TEXTS = ["plain", 'with "quotes", and commas', "two\nlines", "", "Ünïcode 文字", "a" * 300]
TABLE = pa.table({"id": [str(number) for number in range(60)], "text": [TEXTS[n % len(TEXTS)] for n in range(60)]})


def parquet(path: Path, table: Any) -> None:
    pq.write_table(table, path, row_group_size=17)


def arrow(path: Path, table: Any) -> None:
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=11)


def stream(path: Path, table: Any, **options: Any) -> None:
    with ipc.new_stream(path, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=11)


def lines(path: Path, table: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), encoding="utf-8")


def commas(path: Path, table: Any) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.column_names)
        writer.writerows(row.values() for row in table.to_pylist())


WRITE: dict[str, Callable[[Path, Any], None]] = {
    "parquet": parquet,
    "arrow": arrow,
    "arrows": stream,
    "jsonl": lines,
    "csv": commas,
}


def whole(rows: InputRows) -> Any:
    chunks = [chunk for part in rows.parts() for chunk in rows.read(part)]
    return pa.concat_tables([rows.schema.empty_table(), *(chunk.table for chunk in chunks)])


@pytest.mark.parametrize("size", [1, 7, 300, 10**6])
@pytest.mark.parametrize("kind", WRITE)
def test_every_row_is_read_once_and_in_order_however_a_file_is_cut(tmp_path: Path, kind: str, size: int) -> None:
    WRITE[kind](tmp_path / f"in.{kind}", TABLE)
    rows = InputRows(find([str(tmp_path)]), Sizes(size, size))
    assert whole(rows).equals(TABLE)
    assert len(rows.parts()) > 1 or size >= TABLE.num_rows


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_lines_end_in_any_way(tmp_path: Path, ending: str) -> None:
    texts = ["one", "", " three ", "vier"]
    (tmp_path / "in.txt").write_bytes((ending or "\n").join(texts).encode() + ending.encode())
    for size in range(1, 20):
        assert whole(InputRows(find([str(tmp_path / "in.txt")]), Sizes(9, size))).column("text").to_pylist() == texts


def test_random_commas_are_cut_where_records_end(tmp_path: Path) -> None:
    drawn = random.Random(7)
    for trial in range(20):
        texts = ["".join(drawn.choices("a\",\n\r'é", k=drawn.randrange(9))) for _ in range(30)]
        table = pa.table({"id": [str(n) for n in range(30)], "text": texts})
        commas(tmp_path / f"{trial}.csv", table)
        rows = InputRows(find([str(tmp_path / f"{trial}.csv")]), Sizes(9, drawn.randrange(1, 90)))
        assert whole(rows).equals(table)


def by_command(name: str) -> Callable[[bytes], bytes]:
    return lambda data: pa.compress(data, codec=name, asbytes=True)


@pytest.mark.parametrize("size", [1, 200, 10**6])
@pytest.mark.parametrize(
    ("ending", "compress"),
    [
        (".gz", gzip.compress),
        (".GZ", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),  # as bgzip and `cat a.gz b.gz` do
        (".bz2", bz2.compress),
        (".zst", by_command("zstd")),
        (".lz4", by_command("lz4")),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_compressed_files_are_cut_too(
    tmp_path: Path, kind: str, ending: str, compress: Callable[[bytes], bytes], size: int
) -> None:
    WRITE[kind](tmp_path / "plain", TABLE)
    (tmp_path / f"in.{kind}{ending}").write_bytes(compress((tmp_path / "plain").read_bytes()))
    rows = InputRows(find([str(tmp_path)]), Sizes(5, size))
    assert whole(rows).equals(TABLE)
    assert {1: 10, 200: 10, 10**6: 1}[size] <= len(rows.parts()) <= 32


def test_folders_globs_partitions_and_hidden_files(tmp_path: Path) -> None:
    for lang, number in (("en", 1), ("de", 2), ("__HIVE_DEFAULT_PARTITION__", 3)):
        folder = tmp_path / "data" / f"lang={lang}"
        folder.mkdir(parents=True)
        parquet(folder / "part.parquet", pa.table({"text": [f"text {number}"]}))
        (folder / "_SUCCESS").write_text("")
        (folder / "notes.md").write_text("no format")
    (tmp_path / "data" / "_old").mkdir()
    parquet(tmp_path / "data" / "_old" / "x.parquet", TABLE)
    rows = InputRows(find([str(tmp_path / "data")]))
    assert whole(rows).to_pydict() == {"text": ["text 3", "text 2", "text 1"], "lang": [None, "de", "en"]}
    assert len(find([str(tmp_path / "data" / "*" / "part.parquet")])) == 3
    assert len(find([str(tmp_path / "data" / "**" / "*.parquet")])) == 3
    for pattern in ("lang=e?", "lang=[a-e]n", "lang=[!_d]*"):
        assert len(find([str(tmp_path / "data" / pattern / "*")])) == 1
    only = InputRows(find([str(tmp_path / "data")]), where="lang = 'de'")
    assert whole(only).column("text").to_pylist() == ["text 2"]
    assert sum(len(part.spans) for part in only.parts()) == 1  # the other files are not read


def test_json_that_no_column_can_hold_is_a_fault_of_its_row(tmp_path: Path) -> None:
    rows = ['"\\ud800"', '"good"', '"\\ud800\\udc00"', "3", "1" + "0" * 30, "null"]
    (tmp_path / "in.jsonl").write_text("".join(f'{{"text": {row}}}\n' for row in rows), encoding="utf-8")
    (chunk,) = InputRows(find([str(tmp_path)])).read(InputRows(find([str(tmp_path)])).parts()[0])
    assert chunk.table.column("text").to_pylist() == [None, "good", "\U00010000", None, None, None]
    assert sorted(chunk.faults) == [0, 3, 4]


def test_a_number_that_the_common_type_cannot_hold_is_a_fault_of_its_row(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", pa.table({"text": ["a", "b"], "n": pa.array([1, 2**60 + 1], pa.int64())}))
    parquet(tmp_path / "b.parquet", pa.table({"text": ["c"], "n": [0.5]}))
    rows = InputRows(find([str(tmp_path)]))
    (first, second) = rows.read(rows.parts()[0])
    assert (first.table.column("n").to_pylist(), second.table.column("n").to_pylist()) == ([1.0, None], [0.5])
    assert [*first.faults] == [1]
    assert "'n'" in first.faults[1]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_values_that_python_has_none_for_are_written_as_text(tmp_path: Path, kind: str) -> None:
    far = pa.array([2932896 + 4000, 0], pa.int32()).cast(pa.date32())  # days since 1970: the year 10010
    odd = pa.array([b"a\xff", b"b"], pa.binary()).view(pa.string())
    writer, ending = WRITERS[kind]
    with (tmp_path / f"out{ending}").open("wb") as stream:
        made = writer(stream, pa.schema([("day", far.type), ("text", odd.type)]))
        made.write(pa.table({"day": far, "text": odd}))
        made.close()
    text = (tmp_path / f"out{ending}").read_text(encoding="utf-8")
    assert "1970-01-01" in text
    assert "10010-" in text
    assert "a\ufffd" in text


def test_files_with_other_columns_are_put_together(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", pa.table({"text": ["a"], "n": pa.array([1], pa.int32())}))
    parquet(tmp_path / "b.parquet", pa.table({"n": [2.5], "text": ["b"], "more": ["x"]}))
    commas(tmp_path / "c.csv", pa.table({"text": ["c"]}))
    found = whole(InputRows(find([str(tmp_path)])))
    assert found.to_pydict() == {"text": ["a", "b", "c"], "n": [1.0, 2.5, None], "more": [None, "x", None]}
    parquet(tmp_path / "a2.parquet", pa.table({"text": pa.array(["z", None]).dictionary_encode()}))
    (tmp_path / "c2.csv").write_text("")  # as Spark leaves it of a partition without rows
    assert whole(InputRows(find([str(tmp_path)]))).column("text").to_pylist() == ["a", "z", None, "b", "c"]
    parquet(tmp_path / "d.parquet", pa.table({"text": [["list"]]}))
    with pytest.raises(UsageError, match=r"d\.parquet: its columns do not fit"):
        whole(InputRows(find([str(tmp_path)])))


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("n >= 57", [57, 58, 59]),
        ("n < 2 or n = 59", [0, 1, 59]),
        ("not (n < 58) and text != 'x'", [58, 59]),
        ("n in (3, 5) and text is not null", [3, 5]),
        ("`text` == 'two\nlines' and n < 9", [2, 8]),
        ("n not in (1, 2) and n <= 3", [0, 3]),
        ("text is null", []),
        ("n <> 3 and n < 5", [0, 1, 2, 4]),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "arrow"])
def test_conditions(tmp_path: Path, kind: str, condition: str, ids: list[int]) -> None:
    WRITE[kind](tmp_path / f"in.{kind}", TABLE.append_column("n", pa.array(range(60), pa.int64())))
    rows = InputRows(find([str(tmp_path)]), Sizes(10, 400), condition)
    assert whole(rows).column("n").to_pylist() == ids


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("day >= '2024-01-03'", [2, 3]),
        ("day in ('2024-01-01', '2024-01-04')", [0, 3]),
        ("time > '2024-01-02 12:00:00' and time < '2024-01-04'", [2]),
        ("zoned >= '2024-01-03T13:00:00+01:00'", [2, 3]),
        ("cost > 2", [3]),
        ("cost = 1.5", [1]),
        ("kind in ('a', 'it''s')", [0, 3]),
        ("kind != 'a'", [3]),
        ("kind not in ('a')", [3]),  # as with !=, a null is neither in nor out
        ("not kind in ('a', 'b')", [3]),
        ("kind = \"it's\" or kind = 'it\\'s'", [3]),
        ("`a, b` = 2", [2]),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_conditions_on_dates_decimals_categories_and_nulls(
    tmp_path: Path, kind: str, condition: str, rows: list[int]
) -> None:
    times = [datetime(2024, 1, 1 + at, 12) for at in range(4)]
    table = pa.table(
        {
            "": range(4),  # as pandas names its index in a CSV
            "day": pa.array(times, pa.date32()),
            "time": pa.array(times, pa.timestamp("us")),
            "zoned": pa.array(times, pa.timestamp("ms", "UTC")),
            "cost": pa.array([Decimal("0.5"), Decimal("1.5"), None, Decimal("2.5")], pa.decimal128(5, 1)),
            "kind": pa.array(["a", None, None, "it's"]).dictionary_encode(),
            "a, b": range(4),
        }
    )
    WRITE[kind](tmp_path / f"in.{kind}", table)
    assert whole(InputRows(find([str(tmp_path)]), where=condition)).column("").to_pylist() == rows


@pytest.mark.parametrize(
    "text", ["", "n", "n >", "n > x", "n in 3", "(n = 1", "n = 1)", "n is 3", "n = 'a", "= 1", "n ; 1"]
)
def test_conditions_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match="--where") as caught:
        parsed(text)
    assert "expected conditions such as" in str(caught.value)


def test_a_sample_is_the_same_each_time_and_about_as_large_as_asked(tmp_path: Path) -> None:
    parquet(tmp_path / "in.parquet", pa.table({"n": range(5000)}))
    drawn = [whole(InputRows(find([str(tmp_path)]), Sizes(700, 1), sample=0.1)).column("n").to_pylist() for _ in "ab"]
    assert drawn[0] == drawn[1]
    assert 400 < len(drawn[0]) < 600
    assert drawn[0] == sorted(set(drawn[0]))


def test_records_that_cannot_be_read_are_faults(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"id,text\n1,a\n2\n3,c,d\n4,\xff\n5,e\n")
    rows = InputRows(find([str(tmp_path / "in.csv")]))
    (chunk,) = rows.read(rows.parts()[0])
    assert chunk.table.column("id").to_pylist() == ["1", None, None, None, "5"]
    assert [chunk.faults[at].split(",")[0] for at in (1, 2)] == ["the record has 1 fields", "the record has 3 fields"]
    assert "not UTF-8" in chunk.faults[3]


FORMATS_OF_LINES, CODES = ("csv", "jsonl", "txt"), ("utf-16", "utf-16-be", "utf-32")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("in.parquet", b"nothing", "cannot be read as Parquet: .*; write it anew"),
        ("in.arrow", b"nothing", "cannot be read as Arrow: .*; write it anew"),
        ("in.arrow", b"", "cannot be read as Arrow: .*; write it anew"),
        ("in.arrow", b"ARROW1\0\0 and then the disk was full", "cannot be read as Arrow"),
        ("in.csv", b"", "no first line"),
        ("in.csv", b"a,a\n1,2\n", "two columns of the name 'a'"),
        ("in.jsonl", b"", "has no line that is a JSON object; .* leave an empty file out"),
        ("in.jsonl", b'[{"text": "a"},\n{"text": "b"}]', "as jq -c"),
        ("in.jsonl.gz", b'{"text": "a"}', "not compressed as its ending says"),
        ("in.csv.gz", gzip.compress(b"text\n" + bytes(range(48, 58)) * 999, mtime=0)[:-12], "compress it anew"),
        ("in.csv.gz", gzip.compress(b'text\na\n"b\nc\n', mtime=0), "a quote in the record that begins with 'b.* close"),
        ("in.csv", b"text;id\ngood;1\n", r"separated by commas, not by ';'"),
        ("in.csv", b"text\tid\ngood\t1\n", r"separated by commas, not by '\\t'"),
        ("in.csv", "préf,id\na,1\n".encode("latin-1"), "not UTF-8; convert it first"),
        *(
            (f"in.{kind}", "text\nbad\n".encode(code), "UTF-16 or UTF-32")
            for kind in FORMATS_OF_LINES
            for code in CODES
        ),
        ("in.jsonl", '{"text": "a"}\n{"text": "b"}\n'.encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((UsageError, StorageError), match=rf"{name}.* {said}|{name} has {said}"):
        whole(InputRows(find([str(tmp_path / name)])))


def test_a_quote_that_is_never_closed_is_told_before_any_row(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text,id\n" + "whole,1\n" * 9 + '"half,2\n' + "lost,3\n" * 9, encoding="utf-8")
    with pytest.raises(StorageError, match="record that begins with 'half,2"):
        InputRows(find([str(tmp_path)]), Sizes(9, 20)).parts()
    (tmp_path / "in.csv").write_text('text,id\n3" disk,1\n"two\nlines",2', encoding="utf-8")
    assert whole(InputRows(find([str(tmp_path)]))).column("text").to_pylist() == ['3" disk', "two\nlines"]


def changing(path: Path, table: Any, **options: Any) -> None:
    """A stream whose dictionaries begin anew, or go on with ``emit_dictionary_deltas``, between its record batches."""
    wide = table.append_column("lang", pa.array(["en"] * table.num_rows).dictionary_encode())
    wide = wide.append_column("tags", pa.array([[f"tag {n}"] for n in range(table.num_rows)]))
    schema = wide.schema.set(3, pa.field("tags", pa.list_(pa.dictionary(pa.int32(), pa.string()))))
    with ipc.new_stream(path, schema, options=ipc.IpcWriteOptions(**options)) as writer:
        for at in range(0, table.num_rows, 7):
            words = [f"tag {n}" for n in range(at + 7)]
            offsets = pa.array(range(8), pa.int32())
            indices = pa.array(range(at, at + 7), pa.int32())
            tags = pa.ListArray.from_arrays(offsets, pa.DictionaryArray.from_arrays(indices, pa.array(words)))
            part = wide.slice(at, 7).combine_chunks()
            columns = [*(part.column(name).chunk(0) for name in ("id", "text", "lang")), tags.slice(0, part.num_rows)]
            batch = pa.RecordBatch.from_arrays(columns, schema=schema)
            writer.write_batch(batch)
            writer.write_batch(batch.slice(0, 0))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"emit_dictionary_deltas": True},
        {"compression": "zstd"},
        {"use_legacy_format": True, "metadata_version": ipc.MetadataVersion.V4},
    ],
    ids=["plain", "deltas", "compressed", "legacy"],
)
@pytest.mark.parametrize("size", [1, 5, 20, 1000])
@pytest.mark.parametrize("write", [stream, changing])
def test_a_stream_of_arrow_is_cut_whatever_is_in_it(
    tmp_path: Path, write: Callable[..., None], size: int, options: dict[str, Any]
) -> None:
    write(tmp_path / "in.arrow", TABLE, **options)
    expected = ipc.open_stream((tmp_path / "in.arrow").read_bytes()).read_all()
    rows = InputRows(find([str(tmp_path)]), Sizes(size, 1))
    parts = rows.parts()
    counts = [part.rows or 0 for part in parts]
    assert max(counts) <= size
    assert len(parts) >= TABLE.num_rows // size
    for part in reversed(parts):  # each by itself, in any order, as the workers of a cluster read them
        found = pa.concat_tables([chunk.table for chunk in rows.read(part)])
        mine = expected.slice(sum(counts[: part.number]), counts[part.number])
        assert found.to_pylist() == mine.to_pylist()


@pytest.mark.parametrize("write", [arrow, stream])
def test_arrow_is_cut_without_reading_its_columns(tmp_path: Path, write: Callable[[Path, Any], None]) -> None:
    write(tmp_path / "in.arrow", pa.table({"text": ["a" * 200_000] * 66}))

    def read() -> int:
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="utf-8").splitlines())
        return int(counts["rchar"])

    before = read()
    parts = InputRows(find([str(tmp_path)]), Sizes(11, 1)).parts()
    assert [part.rows for part in parts] == [11] * 6
    assert read() - before < 13_200_000 / 4


def encrypted(path: Path, table: Any) -> None:
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Keys(encryption.KmsClient):  # type: ignore[misc, name-defined]
        def wrap_key(self, key: bytes, _: str) -> bytes:
            return key.hex().encode()

    factory = encryption.CryptoFactory(lambda _: Keys())
    about = encryption.EncryptionConfiguration(footer_key="key", column_keys={"key": ["text"]})
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), about)
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)


def cut(path: Path, table: Any) -> None:
    stream(path, table)
    path.write_bytes(path.read_bytes()[:-900])


def compressed(path: Path, table: Any) -> None:
    WRITE[path.suffixes[0][1:]](path, table)
    path.write_bytes(gzip.compress(path.read_bytes()))


def overwritten(path: Path, table: Any) -> None:
    """A file whose middle is of other bytes: offsets that lead out of it, or pages that are no pages."""
    WRITE[path.suffix[1:]](path, table)
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) * 3 // 4] = b"\x7f" * (len(data) * 3 // 4 - len(data) // 4)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("in.parquet", encrypted, "cannot be read as Parquet: .* decrypt it first"),
        ("in.parquet", overwritten, "cannot be read as Parquet: .* write it anew"),
        ("in.arrow", overwritten, "cannot be read as Arrow: .* write it anew"),
        ("in.arrows", overwritten, "cannot be read as Arrow: .* write it anew"),
        ("in.arrow", cut, "cannot be read as Arrow: the message at byte .* beyond the file's end; write it anew"),
        ("in.arrow.gz", compressed, "cannot be read as Arrow: .* decompress it first"),
        ("in.parquet.gz", compressed, "cannot be read as Parquet: .* decompress it first"),
    ],
)
def test_damaged_and_encrypted_files(tmp_path: Path, name: str, write: Callable[[Path, Any], None], said: str) -> None:
    write(tmp_path / name, TABLE)
    with pytest.raises(StorageError, match=rf"{name} {said}"):
        whole(InputRows(find([str(tmp_path / name)])))


def test_columns_that_are_there_twice_and_folders_of_another_type(tmp_path: Path) -> None:
    twice = pa.table([pa.array(["good"]), pa.array([1])], names=["text", "text"])
    parquet(tmp_path / "twice.parquet", twice)
    with pytest.raises(UsageError, match=r"twice\.parquet has two columns of the name 'text'; name one"):
        whole(InputRows(find([str(tmp_path / "twice.parquet")])))
    for folder, table in (("n=1", pa.table({"text": ["a"]})), ("n=2", pa.table({"text": ["b"], "n": [5]}))):
        (tmp_path / "in" / folder).mkdir(parents=True)
        parquet(tmp_path / "in" / folder / "rows.parquet", table)
    assert whole(InputRows(find([str(tmp_path / "in")]))).to_pydict() == {"text": ["a", "b"], "n": [1, 5]}
    (tmp_path / "in/n=1").rename(tmp_path / "in/n=one")
    with pytest.raises(UsageError, match="its folder says n=one, and the column n of other files is int64"):
        whole(InputRows(find([str(tmp_path / "in")])))


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("nn = 1", "there is no column nn"),
        ("n > 'a'", "the column n is int64, which cannot be compared with 'a', text"),
        ("n in (1, 'a')", "cannot be compared with 'a', text"),
        ("n = 99999999999999999999999", "cannot be compared with 99999999999999999999999, a number"),
        ("day = '2024-13-01'", r"cannot be compared with '2024-13-01', text; write it as '2026-01-31'"),
        ("day > 2024", "cannot be compared with 2024, a number; write it as"),
        ("s = 1", "the column s is struct<x: int64>, which"),
    ],
)
def test_a_filter_that_does_not_go_with_the_columns_is_told_before_any_row(
    tmp_path: Path, condition: str, said: str
) -> None:
    parquet(tmp_path / "in.parquet", pa.table({"n": [1], "day": [date(2024, 1, 1)], "s": [{"x": 1}]}))
    with pytest.raises(UsageError, match=rf"{said}.*; the input has the columns n \(int64\)"):
        InputRows(find([str(tmp_path / "in.parquet")]), where=condition).parts()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("in.txt", b"good\r\nbad\r\n"),
        ("in.jsonl", b'{"text": "good"}\n{"text": "bad"}\n'),
        ("in.csv", b"text\ngood\nbad"),
    ],
)
def test_a_byte_order_mark_is_no_text(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + data)
    for size in (1, 7, 1000):
        found = whole(InputRows(find([str(tmp_path / name)]), Sizes(9, size)))
        assert found.to_pydict() == {"text": ["good", "bad"]}


def test_files_of_the_output_are_no_input(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for name in ("a.txt", "out/part-00000.txt", "outer/b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    out = str(tmp_path / "out")
    for given, there in ((tmp_path, out), (f"{tmp_path}/**/*.txt", out), (tmp_path, str(tmp_path / "link"))):
        with found_files([str(given)], output=there) as files:
            assert [file.place.path.removeprefix(f"{tmp_path}/") for file in files] == ["a.txt", "outer/b.txt"]
    with pytest.raises(UsageError, match="all files of the input lie in this folder"), found_files([out], output=out):
        pass


def test_links_are_followed_unless_they_lead_back(tmp_path: Path) -> None:
    for name in ("there/b.txt", "in/a.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    (tmp_path / "in/more").symlink_to(tmp_path / "there")
    (tmp_path / "in/c.txt").symlink_to(tmp_path / "there/b.txt")
    found = [file.place.path.removeprefix(f"{tmp_path}/in/") for file in find([str(tmp_path / "in")])]
    assert found == ["a.txt", "c.txt", "more/b.txt"]
    (tmp_path / "in/more/back").symlink_to(tmp_path / "there")
    with pytest.raises(UsageError, match=r"in/more/back is a link to .*there, a folder around it; take it away"):
        find([str(tmp_path / "in")])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere", "nowhere does not exist"),
        ("no/*.csv", "no/\\*.csv does not exist"),
        ("nope://x/y", "nope://x/y cannot be opened"),
        ("empty", "empty: there is no file that a format of these has"),
        ("*.csv", "csv: there is no file that fits this pattern"),
        ("*.md", "md: there is no file that a format of these has"),
        ("[b-a]*", "this glob cannot be read: bad character range b-a"),
        ("[a", "there is no file that fits this pattern"),
        ("-", "-: standard input is empty; pipe rows into it"),
    ],
)
def test_inputs_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.md").write_text("no format")
    with pytest.raises(UsageError, match=said), found_files([given]):
        pass


def test_sounds_and_images_are_rows(tmp_path: Path) -> None:
    for name in ("b.wav", "a.PNG", "c.txt.bak"):
        (tmp_path / name).write_bytes(name.encode())
    found = whole(InputRows(find([str(tmp_path)]), Sizes(1, 1)))
    assert [path.rsplit("/", 1)[1] for path in found.column("path").to_pylist()] == ["a.PNG", "b.wav"]
    assert found.column("bytes").to_pylist() == [b"a.PNG", b"b.wav"]


def test_what_fsspec_opens_is_read(tmp_path: Path) -> None:
    at = place("memory://bucket/in.jsonl")
    at.system.create_dir("bucket")
    with at.system.open_output_stream(at.path) as stream:
        stream.write(b"".join(json.dumps(row).encode() + b"\n" for row in TABLE.to_pylist()))
    assert whole(InputRows(find(["memory://bucket"]), Sizes(9, 200))).equals(TABLE)


@pytest.mark.parametrize("kind", WRITERS)
def test_dictionaries_that_change_are_written(tmp_path: Path, kind: str) -> None:
    tables = [pa.table({"text": pa.array(texts).dictionary_encode()}) for texts in (["a", "b"], ["c", "a", None])]
    writer, ending = WRITERS[kind]
    with (tmp_path / f"out{ending}").open("wb") as stream:
        made = writer(stream, tables[0].schema)
        for table in tables:
            made.write(table)
        made.close()
    found = whole(InputRows(find([str(tmp_path / f"out{ending}")]))).column("text").to_pylist()
    assert found == ["a", "b", "c", "a", "" if kind == "csv" else None]


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_is_read_again(tmp_path: Path, kind: str) -> None:
    table = TABLE.append_column("vector", pa.array([[1.5, 2.0], None] * 30, pa.list_(pa.float32(), 2)))
    table = table.append_column("error", pa.array([None, {"kind": "InputError", "message": "no"}] * 30))
    writer, ending = WRITERS[kind]
    with (tmp_path / f"out{ending}").open("wb") as stream:
        made = writer(stream, table.schema)
        made.write(table.slice(0, 31))
        made.write(table.slice(31))
        made.close()
    found = whole(InputRows(find([str(tmp_path / f"out{ending}")])))
    rows = found.to_pylist()
    if kind == "csv":
        rows = [
            {key: json.loads(value) if value and key in {"vector", "error"} else value for key, value in row.items()}
            for row in rows
        ]
        rows = [{**row, "vector": row["vector"] or None, "error": row["error"] or None} for row in rows]
    assert rows == table.to_pylist()
