"""Scenarios on a virtual clock, planned by the same core."""
