"""Manifests for other schedulers: what Bayplan understands, what differs, and their queues as its own."""
