"""
Other implementations of DICOM as peers of a real `twistd pacs-echo`, over the loopback.

Each test has a server of its own on a port that the system chooses. A peer that is not
installed skips its tests, or fails them if PACS_TWISTED_REQUIRE_PEERS is 1.
"""
