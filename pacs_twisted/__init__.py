"""DICOM networking on Twisted: associations, DIMSE services, servers and clients."""

__version__ = "0.1.0"
