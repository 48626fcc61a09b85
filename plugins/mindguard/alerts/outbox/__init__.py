"""The outbox: what must still be sent to people, what is sent when, and the sender."""
