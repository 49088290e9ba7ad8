"""Benchmarks: our operations beside the named peers, in one process, gated on the operation's own tests."""
