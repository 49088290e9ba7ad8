"""What the toy sources hold, and the digests of it; of a .gz file that of its content."""

import gzip
import hashlib

PLAIN = {"one.bin": b"first file", "deep/two.txt": b"second file", "three.gz": b"third file"}
CONTENT = {name: gzip.compress(data) if name.endswith(".gz") else data for name, data in PLAIN.items()}
PINS = {name: hashlib.sha256(data).hexdigest() for name, data in PLAIN.items()}
