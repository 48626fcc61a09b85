"""Data for the embedded stack: a large sample of the past, live data of the present, and faults in the events."""
