"""The embedded stack: real engines as wheels, for `make run` and the tests; never used in production."""
