"""The library behind the book: measures, models, kernels, data and the press that prints the chapters.

Importing ``featlib`` is cheap: each room (:mod:`featlib.kernels`, :mod:`featlib.data`, :mod:`featlib.models`,
:mod:`featlib.training`, :mod:`featlib.measures`, :mod:`featlib.explain`) is imported when it is asked for.
"""

__version__ = "0.1.0"
