"""Credentials as text: unguessable, and a typing mistake is told without asking anybody."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalhub.domain import tokens
from signalhub.domain.errors import SignalHubError

ALPHABET = string.ascii_letters + string.digits
KEY = tokens.mint_token(tokens.API_KEY_PREFIX, bytes(range(48)))


def _is_mistyped(text: str, kind: str = tokens.API_KEY_PREFIX) -> bool:
    try:
        tokens.parse_token(kind, text)
    except SignalHubError as error:
        return error.code == "mistyped_key"
    return False


@given(st.binary(min_size=48, max_size=48), st.sampled_from(["shk", "shh", "sht", "shs"]))
def test_what_was_minted_can_be_read(entropy: bytes, kind: str) -> None:
    token = tokens.mint_token(kind, entropy)
    assert tokens.parse_token(kind, token.text) == token


def test_a_secret_has_at_least_256_bits() -> None:
    assert 62 ** len(KEY.text.split("_")[2][:-6]) > 2**256
    assert len(tokens.mint_token(tokens.API_KEY_PREFIX, b"\xff" * 48).text) == len(KEY.text)


def test_every_single_character_typed_wrong_is_told_as_mistyped() -> None:
    """Not most of them: CRC-32 finds every burst shorter than itself."""
    for place in range(len(KEY.text)):
        for letter in ALPHABET + "_":
            if letter != KEY.text[place]:
                assert _is_mistyped(KEY.text[:place] + letter + KEY.text[place + 1 :])


def test_neighbours_swapped_are_told_as_mistyped() -> None:
    for place in range(len(KEY.text) - 1):
        one, other = KEY.text[place], KEY.text[place + 1]
        if one != other:
            assert _is_mistyped(KEY.text[:place] + other + one + KEY.text[place + 2 :])


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_key_cut_short_or_drawn_out_is_told_as_mistyped(cut: int) -> None:
    assert _is_mistyped(KEY.text[:-cut])
    assert _is_mistyped(KEY.text[cut:])
    assert _is_mistyped(KEY.text + "a" * cut)


@given(st.text())
def test_any_other_text_is_no_credential_and_breaks_nothing(text: str) -> None:
    assert _is_mistyped(text)
    assert _is_mistyped("shk_" + text)


def test_one_kind_is_not_taken_for_another() -> None:
    assert _is_mistyped(KEY.text, tokens.HOOK_PREFIX)
    assert _is_mistyped(KEY.text.replace("shk", "shh"), tokens.HOOK_PREFIX)


def test_what_is_stored_does_not_hold_the_secret_and_nothing_shows_it() -> None:
    assert KEY.text.split("_")[2] not in repr(KEY)
    assert len(KEY.digest) == 32
    assert KEY.matches(tokens.parse_token(tokens.API_KEY_PREFIX, KEY.text).digest)
    assert not KEY.matches(tokens.mint_token(tokens.API_KEY_PREFIX, b"\1" * 48).digest)
