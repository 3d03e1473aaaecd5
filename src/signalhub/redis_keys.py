"""The names of an installation's keys in Redis.

They carry the installation's id, which follows from its database (`db.epoch.get_installation_id`), so that two
installations on one Redis neither read each other's events nor take each other's messages.
"""

from typing import Final, Self

import msgspec

OUTDATED_KEYS: Final = ("signalhub:events", "signalhub:jobs:orders", "signalhub:jobs:orders.msgs")
"""Keys of versions whose names did not carry the id. Processes of both versions run side by side during an upgrade."""


class RedisKeys(msgspec.Struct, frozen=True):
    """`events` is the stream, `jobs` the namespace of Dramatiq's keys, `wakeup` a pub/sub channel.

    `worker_heartbeat` is a key that every worker renews; it expires a few seconds after the last one stopped.
    `write_check` is written to learn whether Redis takes writes.
    """

    events: str
    jobs: str
    wakeup: str
    worker_heartbeat: str
    write_check: str

    @classmethod
    def for_installation(cls, installation_id: str) -> Self:
        prefix = f"signalhub:{installation_id}"
        return cls(*(f"{prefix}:{name}" for name in ("events", "jobs", "wakeup", "worker", "write-check")))
