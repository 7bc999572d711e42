"""POST /v1/responses and what belongs to it: what a client sends and what it gets.

items.py      the pieces of a conversation, as they are sent
request.py    the body of a request
objects.py    a response, and the items of its output
events.py     what a stream is made of
"""
