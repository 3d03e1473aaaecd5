"""Create the first account of an installation, and keep its credentials on this machine.

A `kill -9` may come between the commit that creates a key and the line that prints it. So a key that is not in
`local.json` counts as not created, and the next `up` creates another; one that was not shown yet is shown again.

Separate because it needs the services alone, and is tested without the child processes of `up`.
"""

import secrets

import msgspec

from signalhub.cli.local_state import DEFAULT_ACCOUNT, LocalCredentials, LocalState
from signalhub.container import Services
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError
from signalhub.services.accounts import Registration
from signalhub.services.keys_and_hooks import NewHook, NewKey
from signalhub.services.tickets import SIGN_IN_TTL_S

_CREDENTIAL_LABEL = "signalhub up"


class OwnerAccess(msgspec.Struct, frozen=True):
    """Credentials of the first account, and the ticket of a link that signs in once."""

    credentials: LocalCredentials
    ticket: str


async def bootstrap_account(services: Services, local_state: LocalState) -> OwnerAccess:
    """Return access to the first account. Creates the account, its API key and its hook where they are missing."""
    local = local_state.read_credentials()
    if local is None or not await _is_valid_key(services, local.api_key):
        local = await _create_credentials(services)
        local_state.save_credentials(local)
    key_id = identifiers.parse_token(identifiers.API_KEY_PREFIX, local.api_key).id
    return OwnerAccess(
        local, await services.tickets.issue(key_id, purpose=identifiers.SIGN_IN_PREFIX, ttl_s=SIGN_IN_TTL_S)
    )


async def _is_valid_key(services: Services, api_key: str) -> bool:
    try:
        await services.authenticator.authenticate_key(api_key)
    except SignalHubError:
        return False  # revoked or expired, or this is another database
    return True


async def _create_credentials(services: Services) -> LocalCredentials:
    account_id = await services.accounts.find_account_id(DEFAULT_ACCOUNT)
    if account_id is None:
        # The mock broker needs no secret; a random one gives the row the form of a real broker's.
        registration = Registration(
            username=DEFAULT_ACCOUNT, broker_name="mock", account_id="first", api_key=secrets.token_urlsafe(24)
        )
        registered = await services.accounts.register(registration)
        account_id, api_key = registered.user.id, registered.api_key
    else:
        api_key = (await services.keys.create(account_id, NewKey(label=_CREDENTIAL_LABEL))).api_key or ""
    hook = await services.hooks.create(account_id, NewHook(label=_CREDENTIAL_LABEL))
    return LocalCredentials(api_key=api_key, hook_path=hook.path, is_told=False)
