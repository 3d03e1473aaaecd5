"""Settings: read once at the entry point from `SIGNALHUB_*`, typed, and handed to each component as its group.

A setting may also come from a file named by `SIGNALHUB_<NAME>_FILE`, as container secrets do. An unknown name is an
error, because a typo must not become a default. `signalhub.settings` reads no environment by itself.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from signalhub import server_urls

ENV_PREFIX: Final = "SIGNALHUB_"

_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class SettingsError(ValueError):
    """A setting is unknown, missing or not of its form. The message is one sentence for the operator."""


class Secret(str):
    """Text that does not show itself in a repr, a traceback's locals or a log line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"


Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
CountOrZero = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
SecondsOrZero = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Speed = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The web processes: address, registration, limits of ingest."""

    host: str = "127.0.0.1"
    """Where the web process listens."""

    port: Port = 8000
    """The web process's TCP port."""

    public_url: str = ""
    """How the outside reaches the service, for printed links and error types. Empty: made from host and port."""

    processes: Count = 1
    """Web processes. A second pays only where Python is the bottleneck."""

    simulate: Literal["on", "off"] = "on"
    """Whether a sender may force an order's outcome. `off`: a signal that asks for it is refused."""

    registration: Literal["auto", "open", "token", "closed"] = "auto"
    """Who may POST /accounts/. `auto`: open to this machine while host and public URL are loopback, else closed."""

    registration_token: Secret = Secret()
    """What a registration must carry as `X-Registration-Token` when registration is `token`."""

    allowed_hosts: tuple[str, ...] = ()
    """Further names, comma-separated, that requests may have as `Host`, or `*`. Loopback and public URL always may."""

    allowed_origins: tuple[str, ...] = ()
    """Further origins, comma-separated, that may open streams with cookies. The own one always may."""

    rate_limit: CountOrZero = 0
    """Signals per account and minute in one web process; 0: no limit."""

    keep_alive_s: Seconds = 75.0
    """How long an idle HTTP connection stays open. Longer than the proxy in front, which would reuse a closed one."""

    intake_queue: Count = 4096
    """Signals that may wait for a commit in one web process; more are refused with 503."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the web process: directly, or by the public URL that a proxy serves."""
        return server_urls.is_loopback(self.host) and server_urls.is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def registration_mode(self) -> Literal["open", "token", "closed"]:
        """`registration` with `auto` decided by the addresses; `web.accounts` checks each request as well."""
        if self.registration == "auto":
            return "open" if self.is_loopback else "closed"
        return self.registration

    @property
    def host_names(self) -> frozenset[str]:
        """The names and addresses that a request may have as `Host`, in lower case."""
        own = {*LOOPBACK_NAMES, self.host.lower(), urlsplit(self.base_url).hostname or ""}
        return frozenset(own | {server_urls.parse_host(name) for name in self.allowed_hosts}) - {"", *_ANY_ADDRESS}

    @property
    def base_url(self) -> str:
        """The URL that clients use, without a trailing slash."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in _ANY_ADDRESS else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one account may have at most."""

    max_keys: Count = 100
    """API keys of one account that are neither revoked nor expired."""

    max_hooks: Count = 100
    """Hooks of one account that are not revoked."""

    max_broker_accounts: Count = 100
    """Broker accounts linked to one account."""

    max_tickets: Count = 100
    """Stream tickets of one API key that are neither used nor expired; the same for its sign-in links."""


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The worker processes."""

    processes: Count = 1
    """Worker processes."""

    threads: Count = 8
    """Messages one worker process handles at a time."""

    lease_s: Seconds = 5.0
    """How long a worker may hold an order. A killed worker's orders go on after this."""

    retention_days: CountOrZero = 0
    """Events, and signals whose orders have ended, are deleted after so many days; 0: kept for ever."""


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The open SSE and WebSocket streams of a web process."""

    max_per_account: CountOrZero = 100
    """Open streams of one account in one web process. A further one replaces a frozen one, or has to wait."""

    lifetime_s: Seconds = 900.0
    """A stream is ended after about this time, with jitter; the client reconnects and resumes."""

    heartbeat_s: Seconds = 15.0
    """Silence on a stream before a heartbeat."""

    slow_reader_s: Seconds = 30.0
    """A reader that takes nothing for this long is disconnected; see docs/events.md for one that is frozen."""


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The broker, its simulated market and its faults.

    All web and worker processes must have the same ones: they compute from them when an order is due.
    """

    name: str = "mock"
    """The broker's name in the entry-point group `signalhub.brokers`."""

    profile: Literal["demo", "market", "instant"] = "demo"
    """What the mock broker waits for: in `demo` a few seconds, in `market` a price, in `instant` nothing."""

    demo_fill_s: SecondsOrZero = 5.0
    """How long the profile `demo` waits before it fills an order. For all web and worker processes the same."""

    demo_close_s: SecondsOrZero = 10.0
    """How long the profile `demo` waits before it closes a filled order. For all web and worker processes the same."""

    market_close_s: SecondsOrZero = 2592000.0
    """How long the profile `market` holds a position whose levels are not touched. In all processes the same."""

    market_speed: Speed = 1.0
    """Seconds of the mock market in a second. For all web and worker processes the same."""

    market_latency: str = "200ms"
    """How long a trade takes in the profile `market`: a time, or two such as `50ms..2s`."""

    slippage_bp: Decimal = Decimal(0)
    """The most that a trade at the market slips against the trader, in basis points of the price."""

    commission_bp: Decimal = Decimal(0)
    """What the mock broker charges for each side of a trade, in basis points of what was traded."""

    commission_per_unit: Decimal = Decimal(0)
    """What the mock broker charges for each side of a trade, for one unit of quantity, in the quote currency."""

    order_expiry_s: Seconds = 86400.0
    """How long a limit or stop entry waits for its price before the order expires."""

    seed: str = "signalhub"
    """The seed of the mock market: equal seeds give equal prices."""

    chaos: str = "calm"
    """How the broker misbehaves: `calm`, `flaky`, `slow`, `hostile`, or one of `SIGNALHUB_CHAOS_PROFILES`."""

    chaos_profiles: str = ""
    """Chaos profiles of one's own, such as `rainy: fail=20% latency=50ms..300ms; strike: reject=100%`."""


class RetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a broker's passing failure is tried again."""

    max_attempts: Count = 6
    """How often a broker's passing failure is tried before the order is rejected."""

    base_delay_s: SecondsOrZero = 0.5
    """The first wait after a failure; each further one doubles."""

    max_delay_s: SecondsOrZero = 30.0
    """The longest wait between two attempts."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, grouped by component, durations in seconds. A test compares docs/settings.md with the fields."""

    database_url: Secret = Secret()
    """PostgreSQL, `postgresql://…`. Empty: an embedded one (`signalhub up`)."""

    redis_url: Secret = Secret()
    """Redis or Valkey, `redis://…`, `rediss://…`, `unix://…` or `redis+sentinel://…`. Empty: an embedded one."""

    encryption_keys: Secret = Secret()
    """Fernet keys, comma-separated: the first encrypts, all decrypt. Empty: one made and kept in the data directory."""

    data_dir: Path = Path(".signalhub")
    """Where the embedded servers and the made keys live."""

    web: WebSettings = WebSettings()
    account: AccountSettings = AccountSettings()
    worker: WorkerSettings = WorkerSettings()
    streams: StreamSettings = StreamSettings()
    broker: BrokerSettings = BrokerSettings()
    retry: RetrySettings = RetrySettings()

    url: str = ""
    """Where `send`, `tail` and `orders` find the service. Empty: the running `signalhub up`, else host and port."""

    api_key: Secret = Secret()
    """The API key of `send`, `tail` and `orders`. Empty: the one that `signalhub up` keeps in its data directory."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: text on a terminal, JSON elsewhere. Text has colours on a terminal, unless NO_COLOR is set."""


_VARIABLE_NAMES: Final = {
    "web.processes": "WEB_PROCESSES",
    "worker.processes": "WORKER_PROCESSES",
    "worker.threads": "WORKER_THREADS",
    "streams.max_per_account": "MAX_STREAMS_PER_ACCOUNT",
    "streams.lifetime_s": "STREAM_LIFETIME_S",
    "broker.name": "BROKER",
    "broker.profile": "BROKER_PROFILE",
    "broker.seed": "BROKER_SEED",
    "retry.max_attempts": "RETRY_ATTEMPTS",
    "retry.base_delay_s": "RETRY_BASE_S",
    "retry.max_delay_s": "RETRY_CAP_S",
}
"""The variables whose name is not that of the field; operators know them, so they outlive a renamed field."""


_URL_PARSERS: Final[dict[str, Callable[[Any], object]]] = {
    "ALLOWED_HOSTS": server_urls.check_hosts,
    "DATABASE_URL": server_urls.build_database_dsn,
    "REDIS_URL": server_urls.parse_redis_url,
}


class SettingField(NamedTuple):
    """Where the value of a variable stands. `group` is empty for a field of `Settings` itself."""

    group: str
    name: str
    type: Any

    def get_value(self, settings: Settings) -> Any:  # noqa: ANN401 - as many types as there are settings
        return getattr(getattr(settings, self.group) if self.group else settings, self.name)


def _list_fields(struct: type[msgspec.Struct], group: str = "") -> Iterator[tuple[str, SettingField]]:
    for name, type_ in get_type_hints(struct, include_extras=True).items():
        if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
            yield from _list_fields(type_, name)
        else:
            yield _VARIABLE_NAMES.get(f"{group}.{name}", name.upper()), SettingField(group, name, type_)


FIELDS_BY_VARIABLE: Final = dict(_list_fields(Settings))
"""Every setting by the name of its variable, without ENV_PREFIX."""


def from_env(environ: Mapping[str, str]) -> Settings:
    """Read the settings. Raises SettingsError, naming the variable."""
    given = {name[len(ENV_PREFIX) :]: text for name, text in environ.items() if name.startswith(ENV_PREFIX)}
    values: dict[str, Any] = {}
    for name, text in given.items():
        variable, value = _read_variable(name, text)
        if variable in values:
            raise SettingsError(f"{ENV_PREFIX}{variable} is given twice, as a value and as a file.")
        _check_url(variable, value)
        values[variable] = value
    tree: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for variable, value in values.items():
        field = FIELDS_BY_VARIABLE[variable]
        tree[field.group][field.name] = value
    defaults, own_fields = Settings(), tree.pop("", {})
    groups = {group: replace(getattr(defaults, group), **fields) for group, fields in tree.items()}
    return replace(defaults, **own_fields, **groups)


def to_env(settings: Settings) -> dict[str, str]:
    """Return the variables that make `from_env` return equal settings, for the environment of child processes."""
    defaults = Settings()
    return {
        ENV_PREFIX + variable: _to_text(field.get_value(settings))
        for variable, field in FIELDS_BY_VARIABLE.items()
        if field.get_value(settings) != field.get_value(defaults)
    }


def _read_variable(name: str, text: str) -> tuple[str, Any]:
    """Return the variable that `name` sets, itself or by `…_FILE`, and its value."""
    variable = name.upper()
    if variable in FIELDS_BY_VARIABLE:
        return variable, _parse_value(name, FIELDS_BY_VARIABLE[variable].type, text)
    variable = variable.removesuffix("_FILE")
    if not name.endswith("_FILE") or variable not in FIELDS_BY_VARIABLE:
        nearest = get_close_matches(variable, FIELDS_BY_VARIABLE, n=1)
        hint = f"did you mean {ENV_PREFIX}{nearest[0]}? " if nearest else ""
        raise SettingsError(f"{ENV_PREFIX}{name} is not a setting; {hint}docs/settings.md lists them all.")
    try:
        content = Path(text).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{ENV_PREFIX}{name}: {text} cannot be read ({error}).") from None
    return variable, _parse_value(name, FIELDS_BY_VARIABLE[variable].type, content)


def _check_url(variable: str, value: Any) -> None:  # noqa: ANN401 - as many types as there are settings
    parse = _URL_PARSERS.get(variable)
    try:
        if parse is not None and value:
            parse(value)
    except server_urls.UrlError as error:
        raise SettingsError(f"{ENV_PREFIX}{variable} {error}") from None


def _parse_value(name: str, type_: Any, text: str) -> Any:  # noqa: ANN401 - as many types as there are settings
    if type_ is Secret:
        return Secret(text)
    if type_ is Path:
        return Path(text)
    if type_ == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return msgspec.convert(text, type_, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{ENV_PREFIX}{name} is {text!r}: {str(error).rstrip('.')}.") from None


def _to_text(value: Any) -> str:  # noqa: ANN401 - the inverse of _parse_value
    return ",".join(value) if isinstance(value, tuple) else str(value)
