"""Which service, with which key."""

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

import httpx

from signalhub.client.errors import ClientError, Unreachable


class ServiceConnection:
    """`http` is opened here and closed by whoever made the target."""

    def __init__(self, url: str, api_key: str, *, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ClientError(f"{url!r} is no address of a service: it should look like http://127.0.0.1:8000.")
        if not api_key.isascii() or not api_key.isprintable():
            raise ClientError("The API key holds a character that no key has.")
        self.url, self.api_key = url.rstrip("/"), api_key
        # A proxy for the outside world must not be asked for this machine.
        self._is_local = _is_loopback(parts.hostname)
        headers = {"X-API-Key": api_key} if api_key else {}
        self.http = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=timeout_s, trust_env=not self._is_local
        )

    @property
    def websocket_url(self) -> str:
        return "ws" + self.url.removeprefix("http")

    @property
    def websocket_proxy(self) -> Literal[True] | None:
        return None if self._is_local else True

    def to_unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, OSError)):
            return Unreachable(f"{self.url} cannot be reached: nothing answers there.")
        if isinstance(error, httpx.TimeoutException):
            return Unreachable(f"{self.url} did not answer in time.", is_uncertain=True)
        return Unreachable(f"The line to {self.url} broke ({type(error).__name__}).", is_uncertain=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
