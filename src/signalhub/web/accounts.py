"""Registration, tickets, API keys, hooks and broker accounts."""

import hmac
from typing import Final

import msgspec
from litestar import Controller, Router, delete, get, post
from litestar.handlers import BaseRouteHandler

from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError
from signalhub.services import tickets
from signalhub.services.accounts import BrokerAccountView, NewBrokerAccount, Registered, Registration
from signalhub.services.auth import ADMIN, READ_ORDERS
from signalhub.services.keys_and_hooks import (
    HookRotation,
    HookView,
    KeyView,
    NewHook,
    NewKey,
    OverlapSeconds,
)
from signalhub.services.queries import parse_id
from signalhub.web.auth import AppServices, Caller, require_scope
from signalhub.web.openapi import CHANGE_PROBLEMS, LOOKUP_PROBLEMS, PUBLIC, READ_PROBLEMS, problem_specs
from signalhub.web.origins import is_from_own_machine
from signalhub.web.request_context import AnyConnection, get_services


class Overlap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds for which the old key goes on working."""

    overlap_s: OverlapSeconds = 86_400


class Ticket(msgspec.Struct, frozen=True):
    ticket: str
    expires_in: int


class KeyList(msgspec.Struct, frozen=True):
    items: list[KeyView]


class HookList(msgspec.Struct, frozen=True):
    items: list[HookView]


class BrokerAccountList(msgspec.Struct, frozen=True):
    items: list[BrokerAccountView]


async def require_registration(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
    """Guard: raise `registration_closed` for one who may not register, before anything else is validated."""
    settings = get_services(connection).settings.web
    token = connection.headers.get("x-registration-token", "")
    if settings.registration_mode == "closed":
        raise SignalHubError("registration_closed", "This service takes no registrations.")
    if settings.registration == "auto" and not is_from_own_machine(connection):
        raise SignalHubError("registration_closed", "This service takes registrations from its own machine only.")
    # Compared in constant time: the duration of a comparison must not reveal how much of a token is right.
    expected = settings.registration_token.encode()
    if settings.registration_mode == "token" and not (expected and hmac.compare_digest(token.encode(), expected)):
        raise SignalHubError("registration_closed", "Registration needs the right X-Registration-Token.")


@post(
    "/accounts",
    status_code=201,
    guards=[require_registration],
    responses=problem_specs(403, 409, 415, 422, 503),
    security=PUBLIC,
    tags=["account"],
    summary="Register an account",
)
async def create_account(data: Registration, services: AppServices) -> Registered:
    return await services.accounts.register(data)


@post(
    "/api/v1/tickets",
    status_code=201,
    guards=[require_scope(READ_ORDERS)],
    responses=READ_PROBLEMS | problem_specs(429),
    tags=["events"],
    summary="A ticket that opens one stream",
)
async def create_ticket(services: AppServices, principal: Caller) -> Ticket:
    ticket = await services.tickets.issue(
        principal.credential_id, purpose=identifiers.TICKET_PREFIX, ttl_s=tickets.STREAM_TICKET_TTL_S
    )
    return Ticket(ticket, tickets.STREAM_TICKET_TTL_S)


class KeyController(Controller):
    path = "/api/v1/keys"
    tags = ("account",)
    guards = (require_scope(ADMIN),)

    @get(responses=READ_PROBLEMS, summary="The account's keys")
    async def list_keys(self, services: AppServices, principal: Caller) -> KeyList:
        return KeyList(await services.keys.list_by_account(principal.account_id))

    @post(responses=CHANGE_PROBLEMS, summary="A new key")
    async def create_key(self, services: AppServices, principal: Caller, data: NewKey) -> KeyView:
        return await services.keys.create(principal.account_id, data, grantable=principal.scopes)

    @post("/{key_id:str}/rotate", responses=CHANGE_PROBLEMS, summary="A new key in place of this one")
    async def rotate_key(
        self, services: AppServices, principal: Caller, key_id: str, data: Overlap | None = None
    ) -> KeyView:
        overlap = (data or Overlap()).overlap_s
        return await services.keys.rotate(principal.account_id, key_id, overlap, grantable=principal.scopes)

    @delete("/{key_id:str}", responses=LOOKUP_PROBLEMS, summary="Revoke a key")
    async def revoke_key(self, services: AppServices, principal: Caller, key_id: str) -> None:
        await services.keys.revoke(principal.account_id, key_id)


class HookController(Controller):
    path = "/api/v1/hooks"
    tags = ("account",)
    guards = (require_scope(ADMIN),)

    @get(responses=READ_PROBLEMS, summary="The account's hooks")
    async def list_hooks(self, services: AppServices, principal: Caller) -> HookList:
        return HookList(await services.hooks.list_by_account(principal.account_id))

    @post(responses=CHANGE_PROBLEMS, summary="A new hook URL")
    async def create_hook(self, services: AppServices, principal: Caller, data: NewHook) -> HookView:
        return await services.hooks.create(principal.account_id, data, grantable=principal.scopes)

    @post("/{hook_id:str}/rotate", responses=CHANGE_PROBLEMS, summary="Another URL, secret or both for this hook")
    async def rotate_hook(
        self, services: AppServices, principal: Caller, hook_id: str, data: HookRotation | None = None
    ) -> HookView:
        rotation = data or HookRotation()
        return await services.hooks.rotate(principal.account_id, hook_id, rotation, grantable=principal.scopes)

    @delete("/{hook_id:str}", responses=LOOKUP_PROBLEMS, summary="Revoke a hook")
    async def revoke_hook(self, services: AppServices, principal: Caller, hook_id: str) -> None:
        await services.hooks.revoke(principal.account_id, hook_id)


class BrokerAccountController(Controller):
    path = "/api/v1/broker-accounts"
    tags = ("account",)
    guards = (require_scope(ADMIN),)

    @get(responses=READ_PROBLEMS, summary="The account's broker accounts")
    async def list_broker_accounts(self, services: AppServices, principal: Caller) -> BrokerAccountList:
        return BrokerAccountList(await services.accounts.list_broker_accounts(principal.account_id))

    @post(responses=CHANGE_PROBLEMS, summary="Link a broker account")
    async def create_broker_account(
        self, services: AppServices, principal: Caller, data: NewBrokerAccount
    ) -> BrokerAccountView:
        return await services.accounts.add_broker_account(principal.account_id, data)

    @delete("/{id_:str}", responses=LOOKUP_PROBLEMS, summary="Unlink a broker account")
    async def remove_broker_account(self, services: AppServices, principal: Caller, id_: str) -> None:
        await services.accounts.remove_broker_account(principal.account_id, parse_id(id_))


ROUTES: Final = Router(
    "/",
    route_handlers=[create_account, create_ticket, KeyController, HookController, BrokerAccountController],
)
