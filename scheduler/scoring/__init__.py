"""Filters, scores and packing: which nodes and devices suit a workload."""
