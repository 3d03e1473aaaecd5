"""Create the files in `secrets/` that `compose.yaml` mounts into its services. Existing ones are kept.

Compose mounts them with owner and mode, and the services run as users that this machine does not know. So everybody may
read each file, and only the owner may enter the directory.
"""

import base64
import secrets
import sys
from pathlib import Path


def main(directory: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)
    postgres = _read_or_create(directory / "postgres_password", secrets.token_urlsafe(32))
    valkey = _read_or_create(directory / "valkey_password", secrets.token_urlsafe(32))
    _read_or_create(directory / "database_url", f"postgresql+asyncpg://signalhub:{postgres}@postgres:5432/signalhub")
    _read_or_create(directory / "redis_url", f"redis://:{valkey}@valkey:6379/0")
    _read_or_create(directory / "encryption_keys", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def _read_or_create(path: Path, default: str) -> str:
    """Return the content of the file, which is created with `default` where it is missing."""
    if not path.exists():
        path.write_text(default, encoding="ascii")
        path.chmod(0o444)
        sys.stdout.write(f"{path} created\n")
    return path.read_text(encoding="ascii").strip()


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[1] / "secrets")
