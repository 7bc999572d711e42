"""The API described for programs: /openapi.json, made of the protocol's models and examples."""
