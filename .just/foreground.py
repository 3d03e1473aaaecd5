"""Run a command until Ctrl-C, and end as one that Ctrl-C has ended (status 130), though the command itself ended well.

Otherwise `just`, which is interrupted too, takes a clean stop for an error and says so.
"""

import signal
import subprocess
import sys

_INTERRUPTED = 130


def main() -> int:
    typed: list[int] = []
    command = subprocess.Popen(sys.argv[1:])  # noqa: S603 - the justfile's own
    signal.signal(signal.SIGINT, lambda which, _: typed.append(which))  # the terminal has told the command as well
    signal.signal(signal.SIGTERM, lambda which, _: command.send_signal(which))
    status = command.wait()
    if status < 0:
        return 128 - status
    return status or (_INTERRUPTED if typed else 0)


if __name__ == "__main__":
    sys.exit(main())
