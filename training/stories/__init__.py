"""A generator of small stories and of the chats in which they are asked for."""
