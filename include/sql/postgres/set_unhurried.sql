-- Commits of single parts need not wait for the disk: `flush_commits` makes all of them durable at once.
set synchronous_commit = off
