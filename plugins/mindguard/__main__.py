"""`python -m mindguard` is the `mindguard` command."""

from mindguard.cli import main

main()
