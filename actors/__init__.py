"""Thread actors around the cores; never imports adapters, requests or websocket."""
