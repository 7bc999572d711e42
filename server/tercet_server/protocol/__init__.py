"""OpenAI's JSON as pydantic models, page by page of its reference. Imports nothing of ours."""
