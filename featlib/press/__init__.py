"""The press: runs the chapters, collects their evidence and prints the book. A notebook needs only :class:`Ledger`."""

from featlib.press.ledger import Ledger

__all__ = ["Ledger"]
