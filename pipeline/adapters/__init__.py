"""The outside world, one module a system."""
