"""GPUs that are not there: the machine types that Bayplan knows behind the protocol of a real driver, with faults."""
