"""`python -m splittally_tools` is the command line `tally`."""

from splittally_tools.cli import main

main()
