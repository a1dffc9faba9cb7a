"""
The DICOM upper layer service (PS3.8 sections 7 and 9.2): the state machine and the negotiation.
"""
