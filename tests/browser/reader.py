"""What the browser tests share: windows, the page with everything on it, where the tools lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 400, "height": 800}
CHAPTER = "notebooks/alpha.html"
