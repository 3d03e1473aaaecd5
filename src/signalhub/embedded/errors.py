"""What may go wrong below us, in sentences for the person who typed `signalhub up`."""


class EmbeddedError(Exception):
    """A server cannot run here; the sentence says why and, where there is one, the way out."""


class AlreadyRunning(EmbeddedError):  # noqa: N818  # it names a state of the machine, and reads better so
    """Another process holds this data directory."""
