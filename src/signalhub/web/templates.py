"""Pages from templates with autoescape, the headers that let a browser run only our own files, and static files.

No page may hold an inline script or style, not even an attribute: the content security policy would drop it silently.
Static files are read once; one that is not in the folder at the start does not exist, so no path can lead out of it.
"""

from datetime import datetime
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Request, Response, get
from markupsafe import Markup

from signalhub.domain.errors import SignalHubError

_MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class _Asset(msgspec.Struct, frozen=True):
    body: bytes
    etag: str
    media_type: str


@cache
def _load_assets() -> dict[str, _Asset]:
    assets = {}
    for file in files("signalhub.web").joinpath("static").iterdir():
        body, extension = file.read_bytes(), file.name.rpartition(".")[2]
        if extension in _MEDIA_TYPES:
            assets[file.name] = _Asset(body, f'"{sha256(body).hexdigest()[:16]}"', _MEDIA_TYPES[extension])
    return assets


@get("/favicon.ico", include_in_schema=False)
async def get_favicon(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the icon where browsers look for it if a response, such as JSON, does not name one."""
    return build_asset_response(request, "icon.svg")


@get("/static/{name:str}", include_in_schema=False)
async def get_asset(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    return build_asset_response(request, name)


def build_asset_response(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    """Return a file, or a 304 if the browser has it. Raises `not_found`."""
    asset = _load_assets().get(name)
    if asset is None:
        raise SignalHubError("not_found", "There is no such file.")
    # Modules import each other by name: after an upgrade a browser must not mix old ones with new ones.
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)


CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect", "img")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# What a page shows belongs to one account, and the form tokens in it to one session.
_PAGE_HEADERS: Final = {**SECURITY_HEADERS, "Cache-Control": "no-store"}


def render_page(
    template_name: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **context: Any,  # noqa: ANN401 - whatever the template shows
) -> Response[str]:
    """Render a template as a response."""
    return Response(
        render_template(template_name, **context),
        status_code=status,
        media_type=MediaType.HTML,
        headers=_PAGE_HEADERS | (headers or {}),
    )


def render_template(template_name: str, **context: Any) -> str:  # noqa: ANN401 - as above
    return _environment.get_template(template_name).render(**context)


def format_time(timestamp: str) -> str:
    """Format a timestamp for pages without script, which would show it in local time."""
    return "" if not timestamp else f"{datetime.fromisoformat(timestamp):%d %b %H:%M:%S} UTC"


def mark_up_code(text: str) -> Markup:
    """Escape the text and mark up what is between backticks as code."""
    parts = text.split("`")
    return Markup().join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


_environment: Final = Environment(
    loader=PackageLoader("signalhub.web"),
    autoescape=True,
    undefined=StrictUndefined,  # a misspelt variable is an error, not an empty text
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["mark_up_code"] = mark_up_code
_environment.filters["short_time"] = format_time
_environment.filters["status_phrase"] = lambda status: HTTPStatus(int(status)).phrase
