"""URLs of PostgreSQL and Redis: which are supported, and a sentence without the password for every other; hosts.

Parsing opens no connection. A URL that the libraries would misread is refused here, at the start of a process: their
own messages come late and may show the password.
"""

import ipaddress
import os
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import msgspec

_DATABASE_SCHEMES: Final = ("postgresql", "postgres", "postgresql+asyncpg")
_REDIS_SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_DEFAULT_SENTINEL_PORT: Final = 26379
_MAX_PORT: Final = 65_535

# Read by asyncpg as libpq reads them; any other name would become a parameter of the server.
_LIBPQ_OPTIONS: Final = {
    "host", "port", "dbname", "user", "password", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl",
    "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs",
    "krbsrvname", "gsslib", "application_name", "options",
}  # fmt: skip
_SSL_FILE_OPTIONS: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

_AUTHORITY_PATTERN: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::[0-9]{1,5})?")


class UrlError(ValueError):
    """A URL that cannot be used. The message is the end of a sentence that begins with the setting's name."""


class SentinelUrl(msgspec.Struct, frozen=True):
    """Sentinels as host and port, and the service whose master they name.

    `server_url` is a `redis://` or `rediss://` URL with the credentials, database and options of the master; its own
    host means nothing.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    server_url: str
    username: str | None
    password: str | None
    uses_tls: bool


def is_loopback(host: str) -> bool:
    """Return whether a host, a name or an address without brackets, is this machine as it reaches itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parse_authority(text: str) -> str:
    """Return the host in a `Host` header, in lower case without brackets and port; empty if it is not of that form."""
    match = _AUTHORITY_PATTERN.fullmatch(text)
    return "" if match is None else (match[1] or match[2]).lower().removesuffix(".")


def parse_host(name: str) -> str:
    """Return the host as `parse_authority` does, also from an IPv6 address without brackets."""
    return parse_authority(name) or parse_authority(f"[{name}]")


def check_hosts(names: Sequence[str]) -> None:
    """Raise UrlError unless each of these is a host, with or without a port, or `*`."""
    for name in names:
        if name != "*" and not parse_host(name):
            raise UrlError(f"has {name!r}, which is not the name of a host, such as signals.example.com.")


def build_database_dsn(url: str) -> str:
    """Return the URL in the form of libpq, which asyncpg reads. Raises UrlError."""
    parts = _split(url)
    if parts.scheme not in _DATABASE_SCHEMES:
        raise UrlError(f"begins with {parts.scheme}://, and only postgresql:// and postgres:// are supported.")
    _check_fragment(parts)
    _parse_hosts(parts, default_port=5432)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "ssl" in options:  # SQLAlchemy's name
        options.setdefault("sslmode", options.pop("ssl"))
    if unknown := sorted(options.keys() - _LIBPQ_OPTIONS):
        raise UrlError(f"has an option that is not supported: {unknown[0]}. Leave it out.")
    if options.get("sslmode", "prefer") not in _SSL_MODES:
        raise UrlError(f"has an sslmode that does not exist; it is one of {', '.join(_SSL_MODES)}.")
    for name in _SSL_FILE_OPTIONS:
        if name in options and not os.access(options[name], os.R_OK):
            raise UrlError(f"names a file that cannot be read: {name}={options[name]}.")
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{urlencode(options)}" if options else "")


def parse_redis_url(url: str) -> SentinelUrl | str:
    """Return what redis-py reads: the URL of one server, or the sentinels to ask. Raises UrlError."""
    parts = _split(url)
    if "cluster" in parts.scheme:
        raise UrlError("names a Redis Cluster, which is not supported: use one server, or Redis Sentinel.")
    if parts.scheme not in _REDIS_SCHEMES:
        supported = ", ".join(f"{scheme}://" for scheme in _REDIS_SCHEMES)
        raise UrlError(f"begins with {parts.scheme}://, and only {supported} are supported.")
    _check_fragment(parts)
    if parts.scheme == "unix":
        return url
    hosts = _parse_hosts(parts, default_port=_DEFAULT_SENTINEL_PORT)
    if parts.scheme.endswith("+sentinel"):
        return _parse_sentinel_url(parts, hosts)
    if len(hosts) > 1:
        raise UrlError("names several servers: for Redis Sentinel it begins with redis+sentinel://.")
    _parse_database_number(parts.path.removeprefix("/"))
    return url


def _parse_sentinel_url(parts: SplitResult, hosts: tuple[tuple[str, int], ...]) -> SentinelUrl:
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not hosts or not service:
        raise UrlError("lacks a host or a service name: redis+sentinel://host:26379,host:26379/service/0.")
    _parse_database_number(database)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    username, password = options.pop("sentinel_username", None), options.pop("sentinel_password", None)
    credentials = parts.netloc.rpartition("@")[0]
    scheme = parts.scheme.removesuffix("+sentinel")
    server_url = f"{scheme}://{credentials}{'@' if credentials else ''}master/{database or 0}?{urlencode(options)}"
    return SentinelUrl(hosts, unquote(service), server_url, username, password, uses_tls=scheme == "rediss")


def _split(url: str) -> SplitResult:
    if "://" not in url:
        raise UrlError("is not a URL: it lacks a scheme such as redis:// or postgresql://.")
    try:
        return urlsplit(url)
    except ValueError:
        raise UrlError("is not a valid URL.") from None


def _check_fragment(parts: SplitResult) -> None:
    if parts.fragment:
        raise UrlError("contains a #: in a password write it as %23.")


def _parse_hosts(parts: SplitResult, *, default_port: int) -> tuple[tuple[str, int], ...]:
    """Return the hosts and ports before the path. Raises UrlError."""
    credentials, _, text = parts.netloc.rpartition("@")
    if "@" in credentials:
        raise UrlError("contains several @: in a password write it as %40.")
    return tuple(_parse_host(host, default_port) for host in text.split(",")) if text else ()


def _parse_host(text: str, default_port: int) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):
        host, port = text, str(default_port)
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _MAX_PORT):
        # Not the text itself: an unescaped password may be a part of it.
        raise UrlError("has a port that is no number from 1 to 65535; in a password write / as %2F and : as %3A.")
    if not host:
        raise UrlError("lacks the name of a host.")
    return unquote(host.removeprefix("[").removesuffix("]")), int(port)


def _parse_database_number(text: str) -> None:
    if text and not (text.isascii() and text.isdigit()):
        raise UrlError("has a database that is no number, after the last /.")
