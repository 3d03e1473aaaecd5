"""What Litestar injects into the handlers of its own routes. Hot routes call `request_context.get_services`."""

from typing import Final, cast

from litestar import Request
from litestar.di import NamedDependency, Provide

from signalhub.container import Services
from signalhub.services.auth import Principal
from signalhub.web.request_context import get_services


def provide_services(request: Request) -> Services:  # type: ignore[type-arg]  # Litestar reads the annotation at run time
    return get_services(request)


def provide_principal(request: Request) -> Principal:  # type: ignore[type-arg]  # as above
    """Return the caller that the guard `auth.require_scope` has authenticated."""
    return cast("Principal", request.user)


# Litestar wants a dependency marked as one.
AppServices = NamedDependency[Services]
Caller = NamedDependency[Principal]

DEPENDENCIES: Final = {
    "services": Provide(provide_services, sync_to_thread=False),
    "principal": Provide(provide_principal, sync_to_thread=False),
}
