"""Build submissions for ingest without a request."""

from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from signalhub import grammar
from signalhub.services.signal_records import Submission
from tests.kit import signal_texts


def make_submission(account_id: str, text: str = signal_texts.BUY, **changes: Any) -> Submission:  # noqa: ANN401 - fields
    raw, result = text.encode(), grammar.parse(text.encode())
    submission = Submission(
        account_id=account_id,
        credential_id="test",
        raw=raw,
        fingerprint=sha256(raw).digest(),
        signal=result.signal if isinstance(result, grammar.ParsedSignal) else None,
        problems=result.problems if isinstance(result, grammar.RefusedText) else (),
        trace_id="0" * 32,
    )
    return replace(submission, **changes)
