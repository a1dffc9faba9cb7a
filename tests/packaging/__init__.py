"""
The package as people install it: what is in it, and that the server runs from it.

Building and installing needs a package index and a minute, so it is done only when
PACS_TWISTED_PACKAGING is 1.
"""
