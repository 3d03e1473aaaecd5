"""The first account's credentials, wherever a kill may have come between making and showing them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from signalhub.cli.first import bootstrap_account
from signalhub.cli.home import DEFAULT_ACCOUNT, LocalState
from signalhub.cli.office import ServiceContext, open_services
from signalhub.cli.welcome import build_welcome
from signalhub.domain import tokens
from signalhub.services.tickets import Tickets
from tests.kit.servers import Servers


@pytest.fixture
def local_state(tmp_path: Path) -> LocalState:
    return LocalState(tmp_path)


async def _belongs_to_default_account(office: ServiceContext, api_key: str) -> bool:
    return (await office.authenticator.authenticate_key(api_key)).account_id == await office.require_account_id(
        DEFAULT_ACCOUNT
    )


async def test_a_key_that_nobody_saw_is_shown_by_the_next_start(servers: Servers, home: LocalState) -> None:
    async with open_services(await servers.create_settings()) as office:
        first, again = await bootstrap_account(office, home), await bootstrap_account(office, home)
        shown = build_welcome(office.settings, again)
        home.save_credentials(replace(again.credentials, hook_path=None, is_told=True))
        later = build_welcome(office.settings, await bootstrap_account(office, home))
    assert (shown.api_key, later.api_key, later.hook_url) == (first.credentials.api_key, None, None)
    assert shown.hook_url == f"{office.settings.base_url}{first.credentials.hook_path}"


async def test_a_key_that_was_made_and_not_kept_is_replaced(servers: Servers, home: LocalState) -> None:
    async with open_services(await servers.create_settings()) as office:
        lost = (await bootstrap_account(office, home)).credentials.api_key
        home.files["local.json"].unlink()
        found = (await bootstrap_account(office, home)).credentials
        assert found.api_key != lost
        assert await _belongs_to_default_account(office, found.api_key)


async def test_a_revoked_key_is_replaced(servers: Servers, home: LocalState) -> None:
    async with open_services(await servers.create_settings()) as office:
        key_id = tokens.parse_token(
            tokens.API_KEY_PREFIX, (await bootstrap_account(office, home)).credentials.api_key
        ).id
        await office.keys.revoke(await office.require_account_id(DEFAULT_ACCOUNT), key_id)
    async with open_services(office.settings) as office:
        found = (await bootstrap_account(office, home)).credentials
        assert await _belongs_to_default_account(office, found.api_key)
        assert not found.is_told


async def test_the_link_signs_in_once(servers: Servers, home: LocalState) -> None:
    async with open_services(await servers.create_settings()) as office:
        entry = await bootstrap_account(office, home)
        key_id = await Tickets(office.engine).redeem(entry.ticket, purpose=tokens.SIGN_IN_PREFIX)
    assert key_id == tokens.parse_token(tokens.API_KEY_PREFIX, entry.credentials.api_key).id
