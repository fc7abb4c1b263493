"""The scheduler extender protocol over HTTP."""
