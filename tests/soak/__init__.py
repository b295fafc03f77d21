"""The soak: hours of the real bot against the real simulator under random faults (``python -m tests.soak``)."""
