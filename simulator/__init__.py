"""Venues that lie on demand; shares no code with the adapters, so it cannot share their misreadings."""
