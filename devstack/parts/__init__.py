"""The parts of the embedded stack: each is one program that the supervisor starts and keeps running."""
