"""The first account's credentials, wherever a kill may have come between making and showing them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from signalhub.cli.first import enter
from signalhub.cli.home import FIRST_ACCOUNT, Home
from signalhub.cli.office import Office, opened
from signalhub.cli.welcome import welcome
from signalhub.domain import tokens
from signalhub.services.tickets import Tickets
from tests.kit.servers import Servers


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


async def _accounts_key(office: Office, api_key: str) -> bool:
    return (await office.keyring.key(api_key)).account_id == await office.account_id(FIRST_ACCOUNT)


async def test_a_key_that_nobody_saw_is_shown_by_the_next_start(servers: Servers, home: Home) -> None:
    async with opened(await servers.settings()) as office:
        first, again = await enter(office, home), await enter(office, home)
        shown = welcome(office.settings, again)
        home.keep_local(replace(again.local, hook_path=None, is_told=True))
        later = welcome(office.settings, await enter(office, home))
    assert (shown.api_key, later.api_key, later.hook_url) == (first.local.api_key, None, None)
    assert shown.hook_url == f"{office.settings.base_url}{first.local.hook_path}"


async def test_a_key_that_was_made_and_not_kept_is_replaced(servers: Servers, home: Home) -> None:
    async with opened(await servers.settings()) as office:
        lost = (await enter(office, home)).local.api_key
        home.files["local.json"].unlink()
        found = (await enter(office, home)).local
        assert found.api_key != lost
        assert await _accounts_key(office, found.api_key)


async def test_a_revoked_key_is_replaced(servers: Servers, home: Home) -> None:
    async with opened(await servers.settings()) as office:
        key_id = tokens.read(tokens.API_KEY, (await enter(office, home)).local.api_key).id
        await office.keys.revoke(await office.account_id(FIRST_ACCOUNT), key_id)
    async with opened(office.settings) as office:
        found = (await enter(office, home)).local
        assert await _accounts_key(office, found.api_key)
        assert not found.is_told


async def test_the_link_signs_in_once(servers: Servers, home: Home) -> None:
    async with opened(await servers.settings()) as office:
        entry = await enter(office, home)
        key_id = await Tickets(office.engine).spend(entry.ticket, purpose=tokens.SIGN_IN)
    assert key_id == tokens.read(tokens.API_KEY, entry.local.api_key).id
