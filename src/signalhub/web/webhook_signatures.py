"""Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body` (github.com/standard-webhooks)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from signalhub.domain.errors import SignalHubError

TIMESTAMP_TOLERANCE_S: Final = 300


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Raises `bad_signature`, saying what is wrong but never what would be right. `now` is Unix time."""
    id_, sent_at, signatures = (headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature"))
    if not (id_ and sent_at and signatures):
        raise _signature_error("This hook is signed: webhook-id, webhook-timestamp and webhook-signature are needed.")
    if not sent_at.isascii() or not sent_at.isdigit() or abs(now - int(sent_at[:15])) > TIMESTAMP_TOLERANCE_S:
        raise _signature_error("webhook-timestamp is no Unix time within five minutes of now.")
    expected = sign(secret, id_, sent_at, body)
    given = [text.partition(",") for text in signatures.split(" ")]
    if not any(version == "v1" and hmac.compare_digest(text.encode(), expected) for version, _, text in given):
        raise _signature_error("No signature of webhook-signature matches the body.")


def sign(secret: str, id_: str, sent_at: str, body: bytes) -> bytes:
    """The base64 text that belongs behind `v1,`. Raises `bad_signature` for a secret that is no base64."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"))
    except binascii.Error:
        raise _signature_error("The hook's secret cannot be used.") from None
    return base64.b64encode(hmac.digest(key, f"{id_}.{sent_at}.".encode() + body, hashlib.sha256))


def _signature_error(detail: str) -> SignalHubError:
    return SignalHubError("bad_signature", detail)
