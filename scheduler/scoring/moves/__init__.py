"""Which running work would have to move to make room."""
