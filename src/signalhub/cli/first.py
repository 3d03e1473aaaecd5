"""The first account of an installation, and the credentials of it that this machine keeps.

A `kill -9` may come anywhere: between the commit that makes a key and the line that shows it, the key would be lost.
So a key that is not in `local.json` is as good as not made: the next `up` makes another. One that is there but was
not shown yet is shown again.
"""

import secrets

import msgspec

from signalhub.cli.home import FIRST_ACCOUNT, Home, Local
from signalhub.cli.office import Office
from signalhub.domain import tokens
from signalhub.domain.errors import SignalHubError
from signalhub.services.accounts import Registration
from signalhub.services.hooks import NewHook
from signalhub.services.keys import NewKey
from signalhub.services.tickets import SIGN_IN_S

_LABEL = "signalhub up"


class Entry(msgspec.Struct, frozen=True):
    """How the owner gets in: the credentials, and the ticket of a link that signs in once."""

    local: Local
    ticket: str


async def enter(office: Office, home: Home) -> Entry:
    """The first account's way in; the account, its key and its hook are made where they are missing."""
    local = home.local()
    if local is None or not await _opens(office, local.api_key):
        local = await _credentials(office)
        home.keep_local(local)
    key_id = tokens.read(tokens.API_KEY, local.api_key).id
    return Entry(local, await office.tickets.issue(key_id, purpose=tokens.SIGN_IN, ttl_s=SIGN_IN_S))


async def _opens(office: Office, api_key: str) -> bool:
    try:
        await office.keyring.key(api_key)
    except SignalHubError:
        return False  # revoked or expired, or this is another database
    return True


async def _credentials(office: Office) -> Local:
    account_id = await office.accounts.find(FIRST_ACCOUNT)
    if account_id is None:
        made = await office.accounts.register(_registration())
        account_id, api_key = made.user.id, made.api_key
    else:
        api_key = (await office.keys.create(account_id, NewKey(label=_LABEL))).api_key or ""
    hook = await office.hooks.create(account_id, NewHook(label=_LABEL))
    return Local(api_key=api_key, hook_path=hook.path, is_told=False)


def _registration() -> Registration:
    # The mock broker asks for no secret; a made one keeps the row of the same form as a real broker's.
    return Registration(
        username=FIRST_ACCOUNT, broker_name="mock", account_id="first", api_key=secrets.token_urlsafe(24)
    )
