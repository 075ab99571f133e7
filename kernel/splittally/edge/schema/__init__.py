"""JSON Schema 2020-12 at the edge, for structural schemas (spec/01, "JSON Schema")."""
