"""Use cases. Each loads, decides in the domain, saves and commits, once, on a line one can point at."""
