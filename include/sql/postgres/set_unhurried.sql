-- Parts need not wait for the disk one by one: `flush_commits` makes all their commits durable at once.
set synchronous_commit = off
