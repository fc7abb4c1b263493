"""Reservations: when blocked workloads will start and where, and who may use that room until then."""
