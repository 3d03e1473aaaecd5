"""Accounts, keys, hooks, broker accounts: who may do what."""

import hmac
from typing import Any, Final

import msgspec
from litestar import Controller, Request, Router, delete, get, post

from signalhub.domain import identifiers
from signalhub.domain.errors import SignalHubError
from signalhub.services import tickets
from signalhub.services.accounts import BrokerAccountView, NewBrokerAccount, Registered, Registration
from signalhub.services.auth import ADMIN, READ_ORDERS
from signalhub.services.credentials import HookView, KeyView, NewHook, NewKey
from signalhub.services.queries import parse_id
from signalhub.web.auth import authenticate
from signalhub.web.dependencies import get_services
from signalhub.web.openapi import CHANGE_PROBLEMS, LOOKUP_PROBLEMS, PUBLIC, READ_PROBLEMS, problem_specs

AnyRequest = Request[Any, Any, Any]


class Overlap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the old key goes on working, in seconds."""

    overlap_s: int = 86_400

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_s <= 30 * 86_400:
            raise ValueError("overlap_s must be from 0 to 2592000")


class Ticket(msgspec.Struct, frozen=True):
    ticket: str
    expires_in: int


class Listed(msgspec.Struct, frozen=True):
    items: list[Any]


@post(
    "/accounts",
    status_code=201,
    responses=problem_specs(403, 409, 422, 503),
    security=PUBLIC,
    tags=["account"],
    summary="Register an account",
)
async def register(request: AnyRequest, data: Registration) -> Registered:
    found = get_services(request)
    mode, expected = found.settings.web.registration_mode, found.settings.web.registration_token
    sent = request.headers.get("x-registration-token", "")
    if mode == "closed":
        raise SignalHubError("registration_closed", "This service takes no registrations.")
    if mode == "token" and not (expected and hmac.compare_digest(sent.encode(), expected.encode())):
        raise SignalHubError("registration_closed", "Registration needs the right X-Registration-Token.")
    return await found.accounts.register(data)


@post(
    "/api/v1/tickets",
    status_code=201,
    responses=READ_PROBLEMS,
    tags=["events"],
    summary="A ticket that opens one stream",
)
async def issue_ticket(request: AnyRequest) -> Ticket:
    who = (await authenticate(request)).require_scope(READ_ORDERS)
    text = await get_services(request).tickets.issue(
        who.credential_id, purpose=identifiers.TICKET_PREFIX, ttl_s=tickets.STREAM_TICKET_TTL_S
    )
    return Ticket(text, tickets.STREAM_TICKET_TTL_S)


class KeyController(Controller):
    path = "/api/v1/keys"
    tags = ("account",)

    @get(responses=READ_PROBLEMS, summary="The account's keys")
    async def list_keys(self, request: AnyRequest) -> Listed:
        return Listed(await get_services(request).keys.list_by_account(await _require_admin(request)))

    @post(responses=CHANGE_PROBLEMS, summary="A new key")
    async def create(self, request: AnyRequest, data: NewKey) -> KeyView:
        return await get_services(request).keys.create(await _require_admin(request), data)

    @post("/{key_id:str}/rotate", responses=CHANGE_PROBLEMS, summary="A new key in place of this one")
    async def rotate(self, request: AnyRequest, key_id: str, data: Overlap | None = None) -> KeyView:
        overlap = (data or Overlap()).overlap_s
        return await get_services(request).keys.rotate(await _require_admin(request), key_id, overlap)

    @delete("/{key_id:str}", responses=LOOKUP_PROBLEMS, summary="Revoke a key")
    async def revoke(self, request: AnyRequest, key_id: str) -> None:
        await get_services(request).keys.revoke(await _require_admin(request), key_id)


class HookController(Controller):
    path = "/api/v1/hooks"
    tags = ("account",)

    @get(responses=READ_PROBLEMS, summary="The account's hooks")
    async def list_hooks(self, request: AnyRequest) -> Listed:
        return Listed(await get_services(request).hooks.list_by_account(await _require_admin(request)))

    @post(responses=CHANGE_PROBLEMS, summary="A new hook URL")
    async def create(self, request: AnyRequest, data: NewHook) -> HookView:
        return await get_services(request).hooks.create(await _require_admin(request), data)

    @delete("/{hook_id:str}", responses=LOOKUP_PROBLEMS, summary="Revoke a hook")
    async def revoke(self, request: AnyRequest, hook_id: str) -> None:
        await get_services(request).hooks.revoke(await _require_admin(request), hook_id)


class BrokerAccountController(Controller):
    path = "/api/v1/broker-accounts"
    tags = ("account",)

    @get(responses=READ_PROBLEMS, summary="The account's broker accounts")
    async def list_broker_accounts(self, request: AnyRequest) -> Listed:
        return Listed(await get_services(request).accounts.list_broker_accounts(await _require_admin(request)))

    @post(responses=CHANGE_PROBLEMS, summary="Link a broker account")
    async def create(self, request: AnyRequest, data: NewBrokerAccount) -> BrokerAccountView:
        return await get_services(request).accounts.add_broker_account(await _require_admin(request), data)

    @delete("/{id_:str}", responses=LOOKUP_PROBLEMS, summary="Unlink a broker account")
    async def remove(self, request: AnyRequest, id_: str) -> None:
        await get_services(request).accounts.remove_broker_account(await _require_admin(request), parse_id(id_))


async def _require_admin(request: AnyRequest) -> str:
    return (await authenticate(request)).require_scope(ADMIN).account_id


ROUTES: Final = Router(
    "/", route_handlers=[register, issue_ticket, KeyController, HookController, BrokerAccountController]
)
