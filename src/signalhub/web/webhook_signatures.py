"""Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body` (github.com/standard-webhooks).

Separate because it implements a published standard and is tested with its vectors.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

from signalhub.domain.errors import SignalHubError

TIMESTAMP_TOLERANCE_S: Final = 300
_MAX_ID_CHARS: Final = 255


def verify(secrets: Iterable[str], headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Raise `bad_signature` unless a signature matches one of the secrets. `now` is Unix time."""
    id_, sent_at, signatures = (headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature"))
    # The details name the header that is wrong, never the value that would be right.
    if not (id_ and sent_at and signatures):
        raise SignalHubError(
            "bad_signature", "This hook is signed: webhook-id, webhook-timestamp and webhook-signature are needed."
        )
    # int() would read digits of other scripts too, and raises for thousands of digits.
    if not sent_at.isascii() or not sent_at.isdigit() or abs(now - int(sent_at[:15])) > TIMESTAMP_TOLERANCE_S:
        raise SignalHubError("bad_signature", "webhook-timestamp is no Unix time within five minutes of now.")
    if len(id_) > _MAX_ID_CHARS or not id_.isprintable():  # here, as a refusal that is stored would have to keep it
        raise SignalHubError("bad_signature", f"webhook-id is at most {_MAX_ID_CHARS} printable characters.")
    # Several, parted by spaces: the sender signs with the old and the new secret while it rotates.
    given = [part.removeprefix("v1,").encode() for part in signatures.split(" ") if part.startswith("v1,")]
    for secret in secrets:
        expected = sign(secret, id_, sent_at, body)
        if any(hmac.compare_digest(signature, expected) for signature in given):
            return
    raise SignalHubError("bad_signature", "No signature of webhook-signature matches the body.")


def sign(secret: str, id_: str, sent_at: str, body: bytes) -> bytes:
    """Return the base64 text that follows `v1,`. Raises `bad_signature` for a secret that is not base64."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"))
    except binascii.Error:
        raise SignalHubError("bad_signature", "The hook's secret cannot be used.") from None
    return base64.b64encode(hmac.digest(key, f"{id_}.{sent_at}.".encode() + body, hashlib.sha256))
