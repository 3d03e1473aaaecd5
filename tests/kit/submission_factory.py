"""What the intake takes, made without a request."""

from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from signalhub import grammar
from signalhub.services.records import Submission
from tests.kit import signal_texts


def make_submission(account_id: str, text: str = signal_texts.BUY, **changes: Any) -> Submission:  # noqa: ANN401 - fields
    raw, read = text.encode(), grammar.parse(text.encode())
    sent = Submission(
        account_id=account_id,
        credential_id="test",
        raw=raw,
        fingerprint=sha256(raw).digest(),
        signal=read.signal if isinstance(read, grammar.ParsedSignal) else None,
        problems=read.problems if isinstance(read, grammar.RefusedText) else (),
        trace_id="0" * 32,
    )
    return replace(sent, **changes)
