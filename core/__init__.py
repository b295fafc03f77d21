"""Values and decisions: standard library and msgspec only; no clock, thread, socket, file, randomness or log."""
