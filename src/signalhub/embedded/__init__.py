"""PostgreSQL and Valkey as child processes, and the supervisor behind `signalhub up`.

The servers come from two wheels (extra `embedded`). Their Python wrappers are bypassed: they survive a killed
parent and then return the URL of a dead server. Here each server is a child of this process, on a private socket.
"""
