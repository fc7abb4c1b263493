"""Frozen records of nodes, workloads, queues, snapshots and plans; look-ups only."""
