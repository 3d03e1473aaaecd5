"""Dependencies of the handlers: the services of this process, found from any request."""

from typing import TYPE_CHECKING, Any, cast

from litestar.connection import ASGIConnection

from signalhub.container import Services
from signalhub.web.rate_limit import RateLimiter

if TYPE_CHECKING:
    AnyConnection = ASGIConnection[Any, Any, Any, Any]
else:
    AnyConnection = ASGIConnection


def get_services(connection: "AnyConnection") -> Services:
    return cast("Services", connection.app.state["services"])


def get_rate_limiter(connection: "AnyConnection") -> RateLimiter:
    return cast("RateLimiter", connection.app.state["rate_limiter"])
