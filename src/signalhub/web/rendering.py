"""Pages for people: templates with autoescape, and the headers under which a browser runs nothing but our own files.

No page may hold an inline script or style, not even an attribute: the policy would drop it without a word.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Response
from markupsafe import Markup

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
    "Referrer-Policy": "no-referrer",
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
    """The template `name` as a response."""
    return Response(
        render_template(template_name, **context),
        status_code=status,
        media_type=MediaType.HTML,
        headers=_PAGE_HEADERS | (headers or {}),
    )


def render_template(template_name: str, **context: Any) -> str:  # noqa: ANN401 - as above
    return _environment.get_template(template_name).render(**context)


def format_time(timestamp: str) -> str:
    """An instant as a person reads it where no script can say it in local time."""
    return "" if not timestamp else f"{datetime.fromisoformat(timestamp):%d %b %H:%M:%S} UTC"


def _mark_up_code(text: str) -> Markup:
    """What stands between backticks as code."""
    parts = text.split("`")
    return Markup().join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _status_phrase(status: int | str) -> str:
    return HTTPStatus(int(status)).phrase


_environment: Final = Environment(
    loader=PackageLoader("signalhub.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["codes"] = _mark_up_code
_environment.filters["clock"] = format_time
_environment.filters["status_words"] = _status_phrase
