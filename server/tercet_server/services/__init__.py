"""From what a client asked to what it gets, without HTTP: messages in, chunks or a response out."""
