"""Random traffic over everything that the document of the API names."""
