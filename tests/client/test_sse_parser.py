"""The SSE parser against the text of WHATWG HTML 9.2.6, and against httpx-sse where that follows it."""

from itertools import pairwise

import httpx
import httpx_sse
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalhub.client.sse import Parser, ServerSentEvent


def _parse(*chunks: bytes) -> list[ServerSentEvent]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def _data(stream: bytes) -> list[str]:
    return [event.data for event in _parse(stream)]


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\n\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data\n\n", [""]),
        (b"data\ndata\n\n", ["\n"]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"event: x\n\ndata: a\n\n", ["a"]),
        (b": comment\ndata: a\n: another\n\n", ["a"]),
        (b"Data: a\n\n", []),
        (b" data: a\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\n", ["a", "b", "c"]),
        (b"data: \xe2\x80\xa8\x0b\x0c\xc2\x85\n\n", ["\u2028\x0b\x0c\x85"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b"data: a\x00b\n\n", ["a\x00b"]),
    ],
)
def test_stream_is_parsed_as_specified(stream: bytes, data: list[str]) -> None:
    assert _data(stream) == data


def test_event_without_type_is_a_message() -> None:
    assert [event.type for event in _parse(b"data: a\n\nevent: x\ndata: b\n\ndata: c\n\n")] == [
        "message",
        "x",
        "message",
    ]


def test_id_stays_until_replaced() -> None:
    stream = b"id: 1\ndata: a\n\ndata: b\n\nid: 2\x00\ndata: c\n\nid\ndata: d\n\n"
    assert [event.last_event_id for event in _parse(stream)] == ["1", "1", "1", ""]


def test_id_without_data_takes_effect_at_blank_line() -> None:
    parser = Parser()
    assert list(parser.feed(b": heartbeat\nid: e-7\n")) == []
    assert parser.last_event_id == ""
    assert list(parser.feed(b"\n")) == []
    assert parser.last_event_id == "e-7"


@pytest.mark.parametrize(("line", "retry_ms"), [(b"1500", 1500), (b"1.5", None), (b"-1", None), (b"", None)])
def test_retry_accepts_digits_only(line: bytes, retry_ms: int | None) -> None:
    parser = Parser()
    list(parser.feed(b"retry:" + line + b"\n\n"))
    assert parser.retry_ms == retry_ms


def test_carriage_return_ends_line_immediately() -> None:
    parser = Parser()
    assert [event.data for event in parser.feed(b"data: a\r\r")] == ["a"]
    assert [event.data for event in parser.feed(b"\ndata: b\n\n")] == ["b"]


_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
_LINES = st.one_of(
    st.sampled_from([b"", b":", b"data", b"data:", b"id: 1", b"id: 2\x00", b"event: e", b"retry: 5", b"\xef\xbb\xbf"]),
    st.text(max_size=8).map(lambda text: b"data: " + text.encode()),
    st.binary(max_size=8),
)
_STREAMS = st.lists(st.tuples(_LINES, _ENDS), max_size=30).map(lambda pairs: b"".join(a + b for a, b in pairs))


@given(_STREAMS, st.lists(st.integers(0, 400), max_size=12))
def test_chunk_boundaries_make_no_difference(stream: bytes, cuts: list[int]) -> None:
    boundaries = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[begin:end] for begin, end in pairwise(boundaries)]
    whole = _parse(stream)
    assert _parse(*chunks) == whole
    assert _parse(*(bytes([byte]) for byte in stream)) == whole


_WORDS = st.text(st.characters(blacklist_characters="\r\n\x00", blacklist_categories=["Cs"]), min_size=1, max_size=12)
_EVENTS = st.lists(st.tuples(_WORDS, st.lists(_WORDS, min_size=1, max_size=3), _WORDS), min_size=1, max_size=6)


@given(_EVENTS, st.sampled_from(["\n", "\r\n"]))
def test_httpx_sse_parses_the_same_events(events: list[tuple[str, list[str], str]], end: str) -> None:
    blocks = [[f"event: {type_}", *(f"data: {line}" for line in data), f"id: {id_}", ""] for type_, data, id_ in events]
    stream = "".join(line + end for block in blocks for line in block).encode()
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    expected = [
        ServerSentEvent(event.event, event.data, event.id) for event in httpx_sse.EventSource(response).iter_sse()
    ]
    assert _parse(stream) == expected
