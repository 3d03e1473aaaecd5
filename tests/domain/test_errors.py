"""The table of error codes is complete."""

from typing import get_args

import pytest

from signalhub.domain.errors import ERRORS, ErrorCode, SignalHubError


def test_unknown_error_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        SignalHubError("made_up")  # type: ignore[arg-type]  # the misspelt code that mypy reports too


def test_every_error_code_has_a_row_with_a_title() -> None:
    assert set(ERRORS) == set(get_args(ErrorCode))
    for code, error_type in ERRORS.items():
        assert code.isidentifier()
        assert error_type.title
