"""PostgreSQL and Valkey as child processes, and the supervisor behind `signalhub up`.

The servers come from two wheels (extra `embedded`). Their Python wrappers are bypassed: they survive a killed
parent and then return the URL of a dead server. Here each server is a child of this process, on a private socket.
"""


class EmbeddedError(RuntimeError):
    """A server cannot run here; the message says why and, where possible, what to do."""


class AlreadyRunning(EmbeddedError):  # noqa: N818 - names a state of the machine
    """Another process holds this data directory."""
