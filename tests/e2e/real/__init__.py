"""What only a real Kubernetes can show of the plugin: `pytest tests/e2e --on cluster`."""
