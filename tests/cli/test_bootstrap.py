"""Credentials of the first account, also after a kill between creating and showing them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from signalhub.cli.bootstrap import bootstrap_account
from signalhub.cli.local_state import DEFAULT_ACCOUNT, LocalState
from signalhub.cli.services import open_services, require_account_id
from signalhub.cli.up import build_welcome
from signalhub.container import Services
from signalhub.domain import identifiers
from tests.kit.servers import Servers


@pytest.fixture
def local_state(tmp_path: Path) -> LocalState:
    return LocalState(tmp_path)


async def _belongs_to_default_account(services: Services, api_key: str) -> bool:
    return (await services.authenticator.authenticate_key(api_key)).account_id == await require_account_id(
        services, DEFAULT_ACCOUNT
    )


async def test_unshown_key_is_shown_by_next_start(servers: Servers, local_state: LocalState) -> None:
    async with open_services(await servers.create_settings()) as services:
        first, again = await bootstrap_account(services, local_state), await bootstrap_account(services, local_state)
        shown = build_welcome(services.settings, again)
        local_state.save_credentials(replace(again.credentials, hook_path=None, is_told=True))
        later = build_welcome(services.settings, await bootstrap_account(services, local_state))
    assert (shown.api_key, later.api_key, later.hook_url) == (first.credentials.api_key, None, None)
    assert shown.hook_url == f"{services.settings.web.base_url}{first.credentials.hook_path}"


async def test_unsaved_key_is_replaced(servers: Servers, local_state: LocalState) -> None:
    async with open_services(await servers.create_settings()) as services:
        lost = (await bootstrap_account(services, local_state)).credentials.api_key
        local_state.files["local.json"].unlink()
        credentials = (await bootstrap_account(services, local_state)).credentials
        assert credentials.api_key != lost
        assert await _belongs_to_default_account(services, credentials.api_key)


async def test_revoked_key_is_replaced(servers: Servers, local_state: LocalState) -> None:
    async with open_services(await servers.create_settings()) as services:
        key_id = identifiers.parse_token(
            identifiers.API_KEY_PREFIX, (await bootstrap_account(services, local_state)).credentials.api_key
        ).id
        await services.keys.revoke(await require_account_id(services, DEFAULT_ACCOUNT), key_id)
    async with open_services(services.settings) as services:
        credentials = (await bootstrap_account(services, local_state)).credentials
        assert await _belongs_to_default_account(services, credentials.api_key)
        assert not credentials.is_told


async def test_sign_in_ticket_belongs_to_the_key(servers: Servers, local_state: LocalState) -> None:
    async with open_services(await servers.create_settings()) as services:
        access = await bootstrap_account(services, local_state)
        key_id = await services.tickets.redeem(access.ticket, purpose=identifiers.SIGN_IN_PREFIX)
    assert key_id == identifiers.parse_token(identifiers.API_KEY_PREFIX, access.credentials.api_key).id
