"""Who the servers run as.

PostgreSQL refuses to run as root. So where we are root the servers run as `nobody`, which every system has: no
account is created, and nothing outside the data directory changes hands.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalhub.embedded.errors import EmbeddedError


@dataclass(frozen=True)
class ServerUser:
    uid: int
    gid: int
    drops_root: bool

    @classmethod
    def current(cls) -> "ServerUser":
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), drops_root=False)
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid, drops_root=True)

    def popen_options(self) -> dict[str, Any]:
        """What makes `subprocess.Popen` start the child as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drops_root else {}

    def make_directory(self, path: Path) -> None:
        """Make *path*, 0700 and of this account; one that exists must already be so."""
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            self._require_ownership(path)
        else:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def _require_ownership(self, path: Path) -> None:
        owner = path.lstat().st_uid
        if owner != self.uid:
            raise EmbeddedError(
                f"{path} belongs to {user_name(owner)}, but the server would run as {user_name(self.uid)}: "
                f"start SignalHub as its first user, or choose another SIGNALHUB_DATA_DIR."
            )


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
