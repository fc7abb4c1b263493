"""Dividing GPUs anew on nodes whose MIG slices are made beforehand."""
