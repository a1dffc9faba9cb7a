"""The command line, without processes and networks: see tests/process/test_cli.py for those."""
