"""Programs that stand in front of a kernel: they use its surface and know nothing of its inside."""
