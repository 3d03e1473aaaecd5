"""Which hosts and origins a request may name, so that a visitor's browser does nothing here for pages of others.

`Host` is the name that the browser has resolved: a name that its owner points at this machine makes a page of theirs
one of the same origin as the service. `Origin` and `Sec-Fetch-Site` tell which page a request is from. A page on
another port of this machine is another origin.
"""

from collections.abc import Awaitable
from typing import Any, Final, cast
from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from signalhub import server_urls
from signalhub.domain.errors import SignalHubError
from signalhub.settings import WebSettings
from signalhub.web.problems import send_problem
from signalhub.web.request_context import AnyConnection, get_context, get_header, get_services

_HEALTH_PATH: Final = "/health"
_TRUSTED_FETCH_SITES: Final = frozenset({"same-origin", "none"})
_PROXY_HEADERS: Final = frozenset({b"forwarded", b"via", b"x-real-ip"})
_MAX_QUOTED_CHARS: Final = 100


def refuse_unknown_hosts(app: ASGIApp, web: WebSettings) -> ASGIApp:
    """Return an application that refuses requests whose `Host` is not one of the settings', before they are routed.

    Health is served under any name: a load balancer asks by address, and there is nothing to learn or to change.
    """
    names = web.host_names
    # As they are sent, so that a signal costs one comparison. Any port will do: a tunnel has one of its own.
    hosts = {f"[{name}]" if ":" in name else name for name in names}
    known = {f"{host}{port}".encode() for host in hosts for port in ("", f":{web.port}")}

    def call(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path: Any = scope.get("path")  # the lifespan has none
        if path is None:
            return app(scope, receive, send)
        headers, sent_headers = get_context(scope).headers, cast("list[tuple[bytes, bytes]]", scope["headers"])
        is_doubled = len(headers) != len(sent_headers) and sum(name == b"host" for name, _ in sent_headers) > 1
        if headers.get(b"host") in known and not is_doubled:
            return app(scope, receive, send)
        host = headers.get(b"host", b"").decode("latin-1")
        is_known = "*" in web.allowed_hosts or server_urls.parse_authority(host) in names
        if (host and is_known and not is_doubled) or f"{path}/".startswith(f"{_HEALTH_PATH}/"):
            return app(scope, receive, send)
        return refuse(scope, receive, send, build_host_error(host, is_doubled=is_doubled))

    async def refuse(scope: Scope, receive: Receive, send: Send, error: SignalHubError) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        else:
            await send_problem(scope, send, web.base_url, error)

    return call


def build_host_error(host: str, *, is_doubled: bool) -> SignalHubError:
    if is_doubled or not host:
        return SignalHubError("bad_request", "A request needs the header Host, once.")
    return SignalHubError(
        "bad_host",
        f"This service has no host {host[:_MAX_QUOTED_CHARS]!r}. Where it should, name it in SIGNALHUB_ALLOWED_HOSTS.",
    )


def list_own_origins(connection: "AnyConnection") -> set[str]:
    """Return the origins of this service's own pages, with the scheme that a proxy may have given them."""
    public, host = urlsplit(get_services(connection).settings.web.base_url), get_header(connection, b"host")
    return {f"{public.scheme}://{public.netloc}", f"http://{host}", f"https://{host}"}


def check_stream_origin(connection: "AnyConnection") -> None:
    """Reject a page of another origin: browsers send our cookies with a WebSocket from any page."""
    origin = get_header(connection, b"origin")
    allowed = get_services(connection).settings.web.allowed_origins
    if origin is not None and origin not in list_own_origins(connection) | set(allowed):
        raise SignalHubError("bad_origin", "Streams with cookies open from the service's own pages only.")


def check_own_page(connection: "AnyConnection") -> None:
    """Reject a change without a key that a page of another origin asks for. Programs send neither header.

    For all such changes, also those without a cookie: the visitor would otherwise make accounts, or be signed in to a
    stranger's and send signals there.
    """
    origin, fetch_site = get_header(connection, b"origin"), get_header(connection, b"sec-fetch-site")
    # A browser hides the origin of a form on a page without referrer, and still tells that the page is ours.
    is_hidden_own = origin == "null" and fetch_site == "same-origin"
    is_own = origin is None or is_hidden_own or origin in list_own_origins(connection)
    if not is_own or (fetch_site is not None and fetch_site not in _TRUSTED_FETCH_SITES):
        raise SignalHubError("bad_origin", "Without an API key this works from the service's own pages only.")


def is_from_own_machine(connection: "AnyConnection") -> bool:
    """Return whether a request names this machine, and no proxy has left a trace in its headers.

    A proxy on this machine is the one way in which others reach a service that is bound to loopback.
    """
    headers = get_context(connection.scope).headers
    host = server_urls.parse_authority(headers.get(b"host", b"").decode("latin-1"))
    is_forwarded = any(name in _PROXY_HEADERS or name.startswith(b"x-forwarded-") for name in headers)
    return server_urls.is_loopback(host) and not is_forwarded
