"""Tercet's server: OpenAI's vocabulary over HTTP. Imports the engine, never the reverse."""
