"""Training loops, losses and label noise."""
