"""A header name of any bytes is read, and nothing else of its batch changes."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from stream_jobs.agents.header_names import AnyNameRecords

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class Raw(str):
    """A header name that is written as these bytes."""

    raw = b"\xff\xfe name"

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def batch(names: list[str], codec: int = 0, first_offset: int = 0) -> bytes:
    """A batch as a broker hands it out: one record for each name."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, -1, -1, 1 << 20)
    for place, name in enumerate(names):
        value = b"value %d" % place
        builder.append(place, 1_000 + place, b"key" if place else None, value, [(name, None), ("plain", b"\xff")])
    built = bytearray(builder.build())
    built[:8] = first_offset.to_bytes(8, "big")
    return bytes(built)


def read(records: Any) -> list[tuple[Any, ...]]:
    found = []
    while records.has_next():
        one = records.next_batch()
        assert one.validate_crc()
        found += [(each.offset, each.timestamp, each.key, each.value, tuple(each.headers)) for each in one]
        assert one.next_offset == found[-1][0] + 1
    return found


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_name_that_is_no_text_is_written_out_and_the_rest_is_as_it_was(codec: int) -> None:
    data = batch(["a", "b"], codec) + batch(["ä", Raw("odd"), "c"], codec, 2) + batch(["d"], codec, 5)
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(data))
    found = read(AnyNameRecords(data))
    assert [headers[0][0] for *_, headers in found] == ["a", "b", "ä", r"\xff\xfe name", "c", "d"]
    sound = batch(["a", "b"], codec) + batch(["ä", "odd", "c"], codec, 2) + batch(["d"], codec, 5)
    assert [each[:4] for each in found] == [each[:4] for each in read(MemoryRecords(sound))]


def test_what_is_cut_off_or_empty_is_as_aiokafka_has_it() -> None:
    for data in (b"", batch(["a"])[:-1], batch(["a"]) + b"\0" * 5):
        ours, theirs = AnyNameRecords(data), MemoryRecords(data)
        assert ours.size_in_bytes() == theirs.size_in_bytes()
        assert ours.has_next() == theirs.has_next()
        assert read(ours) == read(theirs)
        assert ours.next_batch() is None
