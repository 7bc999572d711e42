"""HTTP verbs and statuses: one file per resource, some ten lines per endpoint."""
