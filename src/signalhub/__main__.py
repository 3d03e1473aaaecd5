"""`python -m signalhub`: the same as the `signalhub` command."""

from signalhub.cli import main

main()
