"""The scenarios: what fails, played on a fork with an effect of a grant (`catalogue.py` lists them)."""
