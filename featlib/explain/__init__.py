"""Pictures of what a network uses."""
