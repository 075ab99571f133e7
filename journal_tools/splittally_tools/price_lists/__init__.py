"""Public price lists to the price snapshots of a manifest."""
