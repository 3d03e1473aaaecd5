"""The query of an event log: where to start and which events. The same for a stream and for a page."""

import asyncio
from typing import Final

from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import EventCriteria
from signalhub.grammar.symbols import parse_symbol
from signalhub.services.queries import Queries
from signalhub.streams import event_filter
from signalhub.web.request_context import AnyConnection, get_header, get_services

FILTER_PARAMETERS: Final = ("types", "symbol", "source", "order_id")
RESUME_ALIASES: Final = ("lastEventId", "last_event_id", "lastEventID", "evs_last_event_id")
"""Parameters in which EventSource polyfills send the last id, because not every browser lets them set the header."""

# Settings of the polyfill that sends `evs_last_event_id`, about its own buffers: accepted and without effect.
_POLYFILL_SETTINGS: Final = ("evs_buffer_size_limit", "evs_preamble")

STREAM_PARAMETERS: Final = ("after", *FILTER_PARAMETERS, "ticket", *RESUME_ALIASES, *_POLYFILL_SETTINGS)
_MAX_VALUES: Final = 50
_READ_TIMEOUT_S: Final = 1.0


def get_cursor(connection: "AnyConnection") -> str | None:
    """Return the cursor to resume at.

    A browser that reconnects repeats its first URL and sends the newest id in the header, so the header comes first. A
    polyfill sends no header but adds its parameter to the first URL, so that one comes before `after`.
    """
    query = connection.query_params
    candidates = [get_header(connection, b"last-event-id"), *(query.get(name) for name in (*RESUME_ALIASES, "after"))]
    return next((text for text in candidates if text), None)


async def read_criteria(connection: "AnyConnection", account_id: str) -> EventCriteria:
    """Read the filters. Each is a list with commas, except `source`: a label may have commas.

    Raises `bad_request`, `unknown_symbol`, `invalid_request` or `not_found` for a value that no event can have, and
    TimeoutError if the database does not answer in time.
    """
    types, symbols, order_ids = (_list_values(connection, name) for name in ("types", "symbol", "order_id"))
    queries, source = get_services(connection).queries, connection.query_params.get("source")
    async with asyncio.timeout(_READ_TIMEOUT_S):
        return EventCriteria(
            types=event_filter.select_types(types) if types else None,
            symbols=frozenset(map(_resolve_symbol, symbols)) if symbols else None,
            sources=await _find_sources(queries, account_id, source) if source else None,
            order_ids=frozenset(await queries.find_orders(account_id, order_ids)) if order_ids else None,
        )


def _list_values(connection: "AnyConnection", name: str) -> list[str]:
    text = connection.query_params.get(name)
    values = [part.strip() for part in text.split(",")] if text else []
    if len(values) > _MAX_VALUES:
        raise SignalHubError("invalid_request", f"{name} takes at most {_MAX_VALUES} values.")
    return values


def _resolve_symbol(text: str) -> str:
    match = parse_symbol(text, 0) if text else None
    if match is None:
        raise SignalHubError("unknown_symbol", f"symbol: {text[:64]!r} is no symbol; write one like EURUSD or GOLD.")
    return match.name


async def _find_sources(queries: Queries, account_id: str, name: str) -> frozenset[str]:
    ids = await queries.find_sources(account_id, name) if name.isprintable() else ()
    if not ids:
        raise SignalHubError(
            "invalid_request", f"source: no API key or hook of this account has the id or label {name[:64]!r}."
        )
    return frozenset(ids)
