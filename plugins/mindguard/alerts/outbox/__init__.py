"""The outbox: what people must still be told, what is sent when, and the sender that does it."""
