"""Credentials as text: unguessable, and a typing mistake is told without asking anybody."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError

ALPHABET = string.ascii_letters + string.digits
KEY = identifiers.mint_token(identifiers.API_KEY_PREFIX, bytes(range(48)))


def _is_mistyped(text: str, kind: str = identifiers.API_KEY_PREFIX) -> bool:
    try:
        identifiers.parse_token(kind, text)
    except SignalHubError as error:
        return error.code == "mistyped_key"
    return False


@given(st.binary(min_size=48, max_size=48), st.sampled_from(["shk", "shh", "sht", "shs"]))
def test_minted_token_parses_back(entropy: bytes, kind: str) -> None:
    token = identifiers.mint_token(kind, entropy)
    assert identifiers.parse_token(kind, token.text) == token


def test_token_secret_has_at_least_256_bits() -> None:
    assert 62 ** len(KEY.text.split("_")[2][:-6]) > 2**256
    assert len(identifiers.mint_token(identifiers.API_KEY_PREFIX, b"\xff" * 48).text) == len(KEY.text)


def test_token_with_one_wrong_character_is_mistyped() -> None:
    """All of them: CRC-32 detects every error burst of at most 32 bits."""
    for index in range(len(KEY.text)):
        for letter in ALPHABET + "_":
            if letter != KEY.text[index]:
                assert _is_mistyped(KEY.text[:index] + letter + KEY.text[index + 1 :])


def test_token_with_swapped_neighbours_is_mistyped() -> None:
    for index in range(len(KEY.text) - 1):
        first, second = KEY.text[index], KEY.text[index + 1]
        if first != second:
            assert _is_mistyped(KEY.text[:index] + second + first + KEY.text[index + 2 :])


@pytest.mark.parametrize("cut", range(1, 12))
def test_token_of_wrong_length_is_mistyped(cut: int) -> None:
    assert _is_mistyped(KEY.text[:-cut])
    assert _is_mistyped(KEY.text[cut:])
    assert _is_mistyped(KEY.text + "a" * cut)


@given(st.text())
def test_arbitrary_text_is_mistyped(text: str) -> None:
    assert _is_mistyped(text)
    assert _is_mistyped("shk_" + text)


def test_token_with_wrong_prefix_is_mistyped() -> None:
    assert _is_mistyped(KEY.text, identifiers.HOOK_PREFIX)
    assert _is_mistyped(KEY.text.replace("shk", "shh"), identifiers.HOOK_PREFIX)


def test_token_digest_and_repr_hide_the_secret() -> None:
    assert KEY.text.split("_")[2] not in repr(KEY)
    assert len(KEY.digest) == 32
    assert KEY.matches(identifiers.parse_token(identifiers.API_KEY_PREFIX, KEY.text).digest)
    assert not KEY.matches(identifiers.mint_token(identifiers.API_KEY_PREFIX, b"\1" * 48).digest)
