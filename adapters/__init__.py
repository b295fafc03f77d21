"""I/O: venues, journal, secrets, logs; never imports pykka or actors."""
