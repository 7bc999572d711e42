"""Tools: how a model is told of them, how calls are held to schemas, how they are read."""
