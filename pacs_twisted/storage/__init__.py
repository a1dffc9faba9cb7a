"""Storage of composite objects, both roles (PS3.4 annex B), as files of PS3.10."""
