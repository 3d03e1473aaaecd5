"""Dramatiq's Prometheus metrics of messages, in the directory that all processes of the host share.

Separate because importing Dramatiq's module creates a directory, which only some installations want.
"""

import os
from collections.abc import Callable

from dramatiq.middleware.prometheus import Prometheus


class MessageMetrics(Prometheus):
    """The library's middleware; its own HTTP server starts only where `dramatiq_prom_port` is set.

    `/metrics` of a web process answers for the workers of its host. The server is for a host without one.
    """

    @property
    def forks(self) -> list[Callable[[], int]]:
        return super().forks if "dramatiq_prom_port" in os.environ else []
