"""A small Kubernetes API server over a real datapath, for tests and demonstrations."""
