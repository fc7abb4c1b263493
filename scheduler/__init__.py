"""Bayplan: GPU-aware scheduling beside an unmodified kube-scheduler."""
