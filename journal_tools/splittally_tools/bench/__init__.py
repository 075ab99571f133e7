"""What the kernel costs, measured against a straight-line floor in the same run."""
