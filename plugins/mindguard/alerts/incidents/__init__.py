"""The incident store: what is wrong, who takes care of it, and what people must still learn about it."""
