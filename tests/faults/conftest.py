"""The test bed uses the tiny book of the tests of the press."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "press"))
