"""Every setting, read once at the entry point from `SIGNALHUB_*` and handed on in pieces.

A setting may also come from a file named by `SIGNALHUB_<NAME>_FILE`, the way container secrets do. A name that is not
here is an error, because a typo must not become a default.
"""

import ipaddress
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec

ENV_PREFIX: Final = "SIGNALHUB_"


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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Durations are in seconds. The docstring of `docs/settings.md` is held against these fields by a test."""

    database_url: Secret = Secret()
    """PostgreSQL, `postgresql+asyncpg://…`. Empty: an embedded one (`signalhub up`)."""

    redis_url: Secret = Secret()
    """Redis or Valkey, `redis://…`, `rediss://…` or `unix://…`. Empty: an embedded one (`signalhub up`)."""

    encryption_keys: Secret = Secret()
    """Fernet keys, comma-separated: the first encrypts, all decrypt. Empty: one made and kept in the data directory."""

    host: str = "127.0.0.1"
    """Where the web process listens."""

    port: Port = 8000
    """The web process's TCP port."""

    public_url: str = ""
    """How the outside reaches the service, for printed links and error types. Empty: made from host and port."""

    web_processes: Count = 1
    """Web processes. A second pays only where Python is the bottleneck."""

    worker_processes: Count = 1
    """Worker processes."""

    worker_threads: Count = 8
    """Messages one worker process handles at a time."""

    data_dir: Path = Path(".signalhub")
    """Where the embedded servers and the made keys live."""

    broker: str = "mock"
    """The broker's name in the entry-point group `signalhub.brokers`."""

    broker_profile: Literal["demo", "market", "instant"] = "demo"
    """How patient the mock broker is: `demo` waits a little, in `market` prices decide, `instant` does not wait."""

    demo_fill_s: SecondsOrZero = 5.0
    """How long the profile `demo` waits before it fills an order. For all web and worker processes the same."""

    demo_close_s: SecondsOrZero = 10.0
    """How long the profile `demo` waits before it closes a filled order. For all web and worker processes the same."""

    market_close_s: SecondsOrZero = 2592000.0
    """How long the profile `market` holds a position whose levels are not touched. In all processes the same."""

    market_speed: Speed = 1.0
    """Seconds of the mock market in a second. For all web and worker processes the same."""

    market_latency: str = "200ms"
    """From the wish to trade to the trade in the profile `market`: a time, or two such as `50ms..2s`."""

    slippage_bp: Decimal = Decimal(0)
    """The most that a trade at the market slips against the trader, in basis points of the price."""

    commission_bp: Decimal = Decimal(0)
    """What the mock broker charges for each side of a trade, in basis points of what was traded."""

    commission_per_unit: Decimal = Decimal(0)
    """What the mock broker charges for each side of a trade, for one unit of quantity, in the quote currency."""

    order_expiry_s: Seconds = 86400.0
    """How long a limit or stop entry waits for its price before the order expires."""

    broker_seed: str = "signalhub"
    """Another seed, other prices; the same seed, the same ones."""

    chaos: str = "calm"
    """How the broker misbehaves: `calm`, `flaky`, `slow`, `hostile`, or one of `SIGNALHUB_CHAOS_PROFILES`."""

    chaos_profiles: str = ""
    """Chaos profiles of one's own, such as `rainy: fail=20% latency=50ms..300ms; strike: reject=100%`."""

    simulate: Literal["on", "off"] = "on"
    """Whether a sender may force an order's outcome. `off`: a signal that asks for it is refused."""

    retry_attempts: Count = 6
    """How often a broker's passing failure is tried before the order is rejected."""

    retry_base_s: SecondsOrZero = 0.5
    """The first wait after a failure; each further one doubles."""

    retry_cap_s: SecondsOrZero = 30.0
    """The longest wait between two attempts."""

    lease_s: Seconds = 5.0
    """How long a worker may hold an order. A killed worker's orders go on after this."""

    registration: Literal["auto", "open", "token", "closed"] = "auto"
    """Who may POST /accounts/. `auto`: open while bound to loopback, closed otherwise."""

    registration_token: Secret = Secret()
    """What a registration must carry as `X-Registration-Token` when registration is `token`."""

    allowed_origins: tuple[str, ...] = ()
    """Further origins, comma-separated, that may open streams with cookies. The own one always may."""

    max_streams_per_account: CountOrZero = 100
    """Open streams of one account in one web process."""

    stream_lifetime_s: Seconds = 900.0
    """A stream is ended after about this time, with jitter, and the client comes back where it was."""

    heartbeat_s: Seconds = 15.0
    """Silence on a stream before a heartbeat."""

    slow_reader_s: Seconds = 30.0
    """A stream whose reader takes nothing for this long is cut; the client comes back where it was."""

    retention_days: CountOrZero = 0
    """Events, and signals whose orders have ended, are deleted after so many days; 0: kept for ever."""

    rate_limit: CountOrZero = 0
    """Signals per account and minute in one web process; 0: no limit."""

    intake_queue: Count = 4096
    """Signals that may wait for a commit in one web process; more are refused with 503."""

    url: str = ""
    """Where `send`, `tail` and `orders` find the service. Empty: the running `signalhub up`, else host and port."""

    api_key: Secret = Secret()
    """The API key of `send`, `tail` and `orders`. Empty: the one that `signalhub up` keeps in its data directory."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: colours on a terminal, JSON elsewhere."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the web process."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def broker_options(self) -> dict[str, str]:
        """What the broker is made with. Web and worker processes must agree on it, or they disagree on what is due."""
        return {
            "seed": self.broker_seed,
            "demo_fill_s": str(self.demo_fill_s),
            "demo_close_s": str(self.demo_close_s),
            "market_close_s": str(self.market_close_s),
            "market_speed": str(self.market_speed),
            "market_latency": self.market_latency,
            "slippage_bp": str(self.slippage_bp),
            "commission_bp": str(self.commission_bp),
            "commission_per_unit": str(self.commission_per_unit),
        }

    @property
    def registration_mode(self) -> Literal["open", "token", "closed"]:
        if self.registration == "auto":
            return "open" if self.is_loopback else "closed"
        return self.registration

    @property
    def base_url(self) -> str:
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


_FIELD_TYPES: Final = get_type_hints(Settings, include_extras=True)


def from_env(environ: Mapping[str, str]) -> Settings:
    """Raises SettingsError, naming the variable."""
    given = {name[len(ENV_PREFIX) :]: text for name, text in environ.items() if name.startswith(ENV_PREFIX)}
    values: dict[str, Any] = {}
    for name, text in given.items():
        field, value = _resolve_field(name, text)
        if field in values:
            raise SettingsError(f"{ENV_PREFIX}{field.upper()} is given twice, as a value and as a file.")
        values[field] = value
    return Settings(**values)


def to_env(settings: Settings) -> dict[str, str]:
    """The variables that make `from_env` return an equal Settings: how a parent tells its child processes."""
    defaults = Settings()
    changed = {
        name: getattr(settings, name) for name in _FIELD_TYPES if getattr(settings, name) != getattr(defaults, name)
    }
    return {ENV_PREFIX + name.upper(): _to_text(value) for name, value in changed.items()}


def _resolve_field(name: str, text: str) -> tuple[str, Any]:
    field = name.lower()
    if field in _FIELD_TYPES:
        return field, _parse_value(name, field, text)
    field = field.removesuffix("_file")
    if not name.endswith("_FILE") or field not in _FIELD_TYPES:
        raise SettingsError(f"{ENV_PREFIX}{name} is not a setting; docs/settings.md lists them all.")
    try:
        return field, _parse_value(name, field, Path(text).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{ENV_PREFIX}{name}: {text} cannot be read ({error}).") from None


def _parse_value(name: str, field: str, text: str) -> Any:  # noqa: ANN401 - as many types as there are settings
    kind = _FIELD_TYPES[field]
    if kind is Secret:
        return Secret(text)
    if kind is Path:
        return Path(text)
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{ENV_PREFIX}{name} is {text!r}: {str(error).rstrip('.')}.") from None


def _to_text(value: Any) -> str:  # noqa: ANN401 - the inverse of _parse
    return ",".join(value) if isinstance(value, tuple) else str(value)
