"""GPUs that several pods share: MIG slices and parts."""
