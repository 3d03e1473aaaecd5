"""Scripts, styles and pictures of the pages: read once, served from memory, asked for again by their hash.

A file that is not in the folder when the process starts does not exist, so no path can lead out of it.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import Request, Response, get

from signalhub.domain.errors import SignalHubError

_MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class _Asset(msgspec.Struct, frozen=True):
    body: bytes
    etag: str
    media_type: str


@cache
def _load_assets() -> dict[str, _Asset]:
    found = {}
    for file in files("signalhub.web").joinpath("static").iterdir():
        body, kind = file.read_bytes(), file.name.rpartition(".")[2]
        if kind in _MEDIA_TYPES:
            found[file.name] = _Asset(body, f'"{sha256(body).hexdigest()[:16]}"', _MEDIA_TYPES[kind])
    return found


@get("/static/{name:str}", include_in_schema=False)
async def get_asset(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    found = _load_assets().get(name)
    if found is None:
        raise SignalHubError("not_found", "There is no such file.")
    # Modules import each other by name: after an upgrade a browser must not mix old ones with new ones.
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == found.etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)
