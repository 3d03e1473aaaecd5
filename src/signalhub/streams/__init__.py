"""The log's way out: into a Redis stream, and from there, through one relay a process, to every subscriber."""
