"""Real images and the registry of where their bytes come from.

Nothing is imported here, so that the press can ask :mod:`featlib.data.sources` without paying for numpy and torch.
"""
