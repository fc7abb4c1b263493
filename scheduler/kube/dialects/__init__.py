"""What other schedulers' labels and annotations say, and what controllers write on pods: one module a dialect."""
