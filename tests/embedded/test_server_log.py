"""The log of a server stays bounded while the server writes to it."""

from pathlib import Path

from signalhub.embedded.server import MAX_LOG_BYTES, open_log, read_last_lines, rotate_log_file


def test_long_log_is_rotated_while_server_writes(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    with open_log(path) as log:
        log.write(b"x" * MAX_LOG_BYTES + b"\nold\n")
        log.flush()
        rotate_log_file(path)
        log.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "server.log.1").read_bytes().endswith(b"old\n")


def test_last_log_lines_belong_to_this_start(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(b"of an earlier start\n")
    with open_log(path) as log:
        start_offset = log.tell()
        log.write(b"one\ntwo\nthree\n")
    assert read_last_lines(path, offset=start_offset, max_lines=2) == "two\nthree"
