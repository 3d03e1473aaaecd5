"""PostgreSQL and Valkey as child processes, and the supervisor behind `signalhub up`.

The servers come from two wheels (extra `embedded`); their Python wrappers are bypassed, because those outlive a
killed parent and then hand out a dead server. Here every server is our own child, on a private socket.
"""
