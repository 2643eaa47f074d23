"""What makes the emulator's ECS behave as ECS does: small wraps around its functions, installed by `install`."""
