"""What every request passes on its way in, outermost first: log, trace, cross-origin, keys, bounds.

Plain ASGI throughout: a middleware here never buffers an answer and never hides that a client left.
"""
