"""
Other implementations of DICOM as peers of real servers and of our command line, over the loopback.

Each test has servers of its own: ours on a port that the system chooses, the others' on one that
was free. A peer that is not installed skips its tests, or fails them if PACS_TWISTED_REQUIRE_PEERS
is 1. What a peer does not take or send is said beside its tests, for the release that Debian 12
has.
"""
