"""
Streams that no honest peer sends, and what the server makes of them.

    python -m tests.fuzz --streams 100000 --seed 1             in memory, under a virtual clock
    python -m tests.fuzz --streams 2000 --seed 1 --loopback    to a `twistd pacs-echo`

A stream is a valid conversation whose parts are known, so that mutations can lie where it hurts:
a length, a type, an item too many. All of it follows from the seed. What a run finds becomes a
named test with its bytes, in `test_findings`.
"""
