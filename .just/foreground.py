"""Run a command until Ctrl-C, and exit with status 130 then, although the command itself exits with 0.

Otherwise `just`, which is interrupted too, reports the clean stop as an error.
"""

import signal
import subprocess
import sys

_INTERRUPTED = 130


def main() -> int:
    interrupts: list[int] = []
    command = subprocess.Popen(sys.argv[1:])  # noqa: S603 - the justfile's own
    # The terminal signals the command as well, so an interrupt is only noted here.
    signal.signal(signal.SIGINT, lambda signum, _: interrupts.append(signum))
    signal.signal(signal.SIGTERM, lambda signum, _: command.send_signal(signum))
    status = command.wait()
    if status < 0:
        return 128 - status
    return status or (_INTERRUPTED if interrupts else 0)


if __name__ == "__main__":
    sys.exit(main())
