"""POST /v1/responses without HTTP.

service.py      create, retrieve, continue, cancel, delete
translation.py  items to chat messages, and chat's errors back
fitting.py      truncation: drops the oldest until the rest fits
writer.py       what the assistant does to events and to the response
open_items.py   items of the output while they grow
answer.py       one response in progress
runs.py         those that go on without their client
head.py         a response before there is any answer
"""
