"""Pages for people: templates with autoescape, and the headers under which a browser runs nothing but our own files.

No page may hold an inline script or style, not even an attribute: the policy would drop it without a word.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Response
from markupsafe import Markup

POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect", "img")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
SECURITY: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# What a page shows belongs to one account, and the form tokens in it to one session.
_HEADERS: Final = {**SECURITY, "Cache-Control": "no-store"}


def page(
    name: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **shown: Any,  # noqa: ANN401 - whatever the template shows
) -> Response[str]:
    """The template `name` as a response."""
    return Response(
        render(name, **shown), status_code=status, media_type=MediaType.HTML, headers=_HEADERS | (headers or {})
    )


def render(name: str, **shown: Any) -> str:  # noqa: ANN401 - as above
    return _templates.get_template(name).render(**shown)


def clock(instant: str) -> str:
    """An instant as a person reads it where no script can say it in local time."""
    return "" if not instant else f"{datetime.fromisoformat(instant):%d %b %H:%M:%S} UTC"


def _codes(text: str) -> Markup:
    """What stands between backticks as code."""
    parts = text.split("`")
    return Markup().join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _status_words(status: int | str) -> str:
    return HTTPStatus(int(status)).phrase


_templates: Final = Environment(
    loader=PackageLoader("signalhub.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["codes"] = _codes
_templates.filters["clock"] = clock
_templates.filters["status_words"] = _status_words
