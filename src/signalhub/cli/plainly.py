"""A database driver's complaint, as a person wants to read it."""


def summarize_error(error: Exception) -> str:
    """What a driver complains of, in one line and without the statement it was at."""
    cause = getattr(error, "orig", None) or error
    first = str(cause).strip().partition("\n")[0]
    return first.rpartition("'>: ")[2] or type(cause).__name__
