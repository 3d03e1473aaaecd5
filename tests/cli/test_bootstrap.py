"""The first account's credentials, wherever a kill may have come between making and showing them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from signalhub.cli.bootstrap import bootstrap_account
from signalhub.cli.context import ServiceContext, open_services, require_account_id
from signalhub.cli.local_state import DEFAULT_ACCOUNT, LocalState
from signalhub.cli.up import build_welcome
from signalhub.domain import identifiers
from signalhub.services.tickets import Tickets
from tests.kit.servers import Servers


@pytest.fixture
def local_state(tmp_path: Path) -> LocalState:
    return LocalState(tmp_path)


async def _belongs_to_default_account(office: ServiceContext, api_key: str) -> bool:
    return (await office.authenticator.authenticate_key(api_key)).account_id == await require_account_id(
        office, DEFAULT_ACCOUNT
    )


async def test_unshown_key_is_shown_by_next_start(servers: Servers, local_state: LocalState) -> None:
    async with open_services(await servers.create_settings()) as office:
        first, again = await bootstrap_account(office, local_state), await bootstrap_account(office, local_state)
        shown = build_welcome(office.settings, again)
        local_state.save_credentials(replace(again.credentials, hook_path=None, is_told=True))
        later = build_welcome(office.settings, await bootstrap_account(office, local_state))
    assert (shown.api_key, later.api_key, later.hook_url) == (first.credentials.api_key, None, None)
    assert shown.hook_url == f"{office.settings.web.base_url}{first.credentials.hook_path}"


async def test_unsaved_key_is_replaced(servers: Servers, local_state: LocalState) -> None:
    async with open_services(await servers.create_settings()) as office:
        lost = (await bootstrap_account(office, local_state)).credentials.api_key
        local_state.files["local.json"].unlink()
        found = (await bootstrap_account(office, local_state)).credentials
        assert found.api_key != lost
        assert await _belongs_to_default_account(office, found.api_key)


async def test_a_revoked_key_is_replaced(servers: Servers, local_state: LocalState) -> None:
    async with open_services(await servers.create_settings()) as office:
        key_id = identifiers.parse_token(
            identifiers.API_KEY_PREFIX, (await bootstrap_account(office, local_state)).credentials.api_key
        ).id
        await office.keys.revoke(await require_account_id(office, DEFAULT_ACCOUNT), key_id)
    async with open_services(office.settings) as office:
        found = (await bootstrap_account(office, local_state)).credentials
        assert await _belongs_to_default_account(office, found.api_key)
        assert not found.is_told


async def test_the_link_signs_in_once(servers: Servers, local_state: LocalState) -> None:
    async with open_services(await servers.create_settings()) as office:
        entry = await bootstrap_account(office, local_state)
        key_id = await Tickets(office.engine).redeem(entry.ticket, purpose=identifiers.SIGN_IN_PREFIX)
    assert key_id == identifiers.parse_token(identifiers.API_KEY_PREFIX, entry.credentials.api_key).id
