"""Comparisons with the default scheduler on a real control plane, and what the parts of Bayplan cost by themselves."""
