"""The outbox: the notifications that are still to be sent, the plan of sending them, and the sender."""
