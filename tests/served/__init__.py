"""A world that is served: the same answers on every face, whoever else asks what."""
