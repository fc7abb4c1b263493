"""How queues stand, for people: in total and per flavor, and the work that is behind the figures."""
