"""JSON Schema 2020-12 at the edge, for structural schemas (spec/01, "JSON Schema")."""

from splittally.edge.schema.params import ANY_PARAMS, SCHEMA_BYTES_MAX, ParamsSchema

__all__ = ["ANY_PARAMS", "SCHEMA_BYTES_MAX", "ParamsSchema"]
