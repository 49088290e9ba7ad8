"""The test bed: many tiny jobs, some of which misbehave, and a press that is killed and started again."""

import random
import signal
import threading
import time
from collections import Counter

from tiny_book import until

GOOD = "good"
BAD = {
    "raises": "ValueError: no",
    "exits": "SystemExit(3) ended the run",
    "ends its process": "the kernel ended by itself (exit code 7)",
    "is killed": "the kernel was killed by SIGKILL",
    "exhausts memory": "MemoryError",
    "hangs": "over the limit of",
    "hangs in C": "over the limit of",
}
"""What each kind of bad job is told of, whichever cell it had reached."""
MISBEHAVE = """
import os, re, signal, sys, threading, time
kind = {kinds}[seed]
if kind == "raises":
    raise ValueError("no")
if kind == "exits":
    sys.exit(3)
if kind == "ends its process":
    os._exit(7)
if kind == "is killed":
    threading.Timer(0.1 * (seed % 4), os.kill, (os.getpid(), signal.SIGKILL)).start()
    time.sleep(60)
if kind == "exhausts memory":
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    hog = [bytearray(2**26) for _ in range(64)]
if kind == "hangs":
    time.sleep(1000)
if kind == "hangs in C":
    re.match(r"(a+)+$", "a" * 64 + "b")
""".strip()
RECORD = """
from featlib.press import Ledger
Ledger("{slug}").record("one-is-one", {{str(seed): 1 + 0.01 * seed}}, control={{str(seed): 0.001 * seed}})
""".strip()
CHAPTERS = ("alpha", "beta", "gamma", "delta")


def kinds_of(n, chance):
    """A kind for each job: three fifths are good, each kind of bad is there, and those that hang are few."""
    quick = [kind for kind in BAD if not kind.startswith("hangs")]
    bad = [*BAD, *(chance.choice(quick) for _ in range(max(0, 2 * n // 5 - len(BAD))))]
    kinds = [*bad, *[GOOD] * (n - len(bad))]
    chance.shuffle(kinds)
    return kinds


class Bed:
    """A book of ``n`` jobs, and what happened to it."""

    def __init__(self, book, n, seed, temporary):
        self.book, self.chance, self.temporary = book, random.Random(seed), temporary
        self.each = n // len(CHAPTERS)
        kinds = kinds_of(n, self.chance)
        self.kinds = {slug: kinds[place :: len(CHAPTERS)] for place, slug in enumerate(CHAPTERS)}
        for slug, kinds in self.kinds.items():
            book.add(slug, MISBEHAVE.format(kinds=kinds), RECORD.format(slug=slug))
        self.counts = Counter()

    @property
    def good(self):
        return {(slug, seed) for slug, kinds in self.kinds.items() for seed, kind in enumerate(kinds) if kind == GOOD}

    @property
    def bad(self):
        return {
            (slug, seed): kind for slug, kinds in self.kinds.items() for seed, kind in enumerate(kinds) if kind != GOOD
        }

    def press(self, limit):
        """Start a press over all jobs."""
        seeds = f"0..{self.each - 1}"
        options = ["--seed", seeds, "--jobs", 4, "--timeout", limit, "--log", "json"]
        return self.book.command("run", "--all", *options, env={"TMPDIR": str(self.temporary)})

    def done(self):
        """How many jobs are in the cache."""
        return sum(1 for _ in self.book.home.cache.glob("*/record.json"))

    def kill_in_the_middle(self, presses, more):
        """Kill presses once ``more`` further jobs are done, and some kernels on the way."""
        aim = min(self.done() + more, len(self.good))
        readers = [threading.Thread(target=press.communicate, daemon=True) for press in presses]
        for reader in readers:
            reader.start()
        over = threading.Event()
        killer = threading.Thread(target=self._kill_kernels, args=(over,))
        killer.start()
        reached = until(lambda: self.done() >= aim or all(press.poll() is not None for press in presses), 120)
        time.sleep(self.chance.random())
        over.set()
        killer.join()
        for press in presses:
            press.send_signal(signal.SIGKILL)
            self.counts["presses killed"] += 1
        for reader in readers:
            reader.join()
        assert reached, "the press makes no progress"
        assert until(lambda: not self.book.kernels(), 10), "no kernel outlives its press"

    def _kill_kernels(self, over):
        """Kill a kernel now and then, whichever it is."""
        while not over.wait(1 + 2 * self.chance.random()):
            found = self.book.kernels()
            if found:
                self.chance.choice(found).kill()
                self.counts["kernels killed"] += 1

    def temporary_files(self):
        """Whatever is left that is neither a result, nor a lock, nor a notebook kept to be read."""
        left = [*self.temporary.rglob("*"), *self.book.home.build.rglob("*.tmp"), *self.book.home.build.glob(".*")]
        return left + list((self.book.home.cache / "tmp").glob("*"))
