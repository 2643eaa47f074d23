"""The embedded cloud: engine check, emulator, load balancer, base images."""
