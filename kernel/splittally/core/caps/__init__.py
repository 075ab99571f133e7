"""May this actor? Grants, caps, effects and the chain of authority."""
