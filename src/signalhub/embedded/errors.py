"""Errors of the embedded servers, as sentences for the person who typed `signalhub up`."""


class EmbeddedError(RuntimeError):
    """A server cannot run here; the message says why and, where possible, what to do."""


class AlreadyRunning(EmbeddedError):  # noqa: N818 - names a state of the machine
    """Another process holds this data directory."""
