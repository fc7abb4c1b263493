"""Queue arithmetic: what a queue may still use."""
