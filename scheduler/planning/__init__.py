"""Snapshot in, plan out: admission order, placement, explanation."""
