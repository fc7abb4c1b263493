"""The check of plans, which knows no solver."""
