"""The Kubernetes API: watching, translating, writing."""
