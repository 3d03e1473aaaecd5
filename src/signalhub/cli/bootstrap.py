"""The first account of an installation, and the credentials of it that this machine keeps.

A `kill -9` may come anywhere: between the commit that makes a key and the line that shows it, the key would be lost.
So a key that is not in `local.json` is as good as not made: the next `up` makes another. One that is there but was
not shown yet is shown again.
"""

import secrets

import msgspec

from signalhub.cli.context import ServiceContext
from signalhub.cli.local_state import DEFAULT_ACCOUNT, LocalCredentials, LocalState
from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError
from signalhub.services.accounts import Registration
from signalhub.services.credentials import NewHook, NewKey
from signalhub.services.tickets import SIGN_IN_TTL_S

_CREDENTIAL_LABEL = "signalhub up"


class OwnerAccess(msgspec.Struct, frozen=True):
    """How the owner gets in: the credentials, and the ticket of a link that signs in once."""

    credentials: LocalCredentials
    ticket: str


async def bootstrap_account(context: ServiceContext, local_state: LocalState) -> OwnerAccess:
    """The first account's way in; the account, its key and its hook are made where they are missing."""
    local = local_state.read_credentials()
    if local is None or not await _is_valid_key(context, local.api_key):
        local = await _create_credentials(context)
        local_state.save_credentials(local)
    key_id = identifiers.parse_token(identifiers.API_KEY_PREFIX, local.api_key).id
    return OwnerAccess(
        local, await context.tickets.issue(key_id, purpose=identifiers.SIGN_IN_PREFIX, ttl_s=SIGN_IN_TTL_S)
    )


async def _is_valid_key(context: ServiceContext, api_key: str) -> bool:
    try:
        await context.authenticator.authenticate_key(api_key)
    except SignalHubError:
        return False  # revoked or expired, or this is another database
    return True


async def _create_credentials(context: ServiceContext) -> LocalCredentials:
    account_id = await context.accounts.find_account_id(DEFAULT_ACCOUNT)
    if account_id is None:
        made = await context.accounts.register(_build_registration())
        account_id, api_key = made.user.id, made.api_key
    else:
        api_key = (await context.keys.create(account_id, NewKey(label=_CREDENTIAL_LABEL))).api_key or ""
    hook = await context.hooks.create(account_id, NewHook(label=_CREDENTIAL_LABEL))
    return LocalCredentials(api_key=api_key, hook_path=hook.path, is_told=False)


def _build_registration() -> Registration:
    # The mock broker asks for no secret; a made one keeps the row of the same form as a real broker's.
    return Registration(
        username=DEFAULT_ACCOUNT, broker_name="mock", account_id="first", api_key=secrets.token_urlsafe(24)
    )
