"""Who makes way for whom: lent quota comes back, and lower priority yields within a queue."""
