"""Guessing how a text goes on by looking for its last tokens earlier in it.

Text that quotes its prompt, or itself, goes on as it went on before. The guesses are computed in
one batch with the token they follow, and each is kept only if it is the very token that is drawn in
its place: a guess can save time and cannot change a text.
"""

from array import array
from collections.abc import Iterator
from typing import Final

MAX_DRAFT: Final = 15
"""Tokens guessed at once, at most."""
_MAX_CANDIDATES: Final = 6
"""Earlier places that are compared, the latest first."""
_MAX_MATCH: Final = 10
"""Tokens that are compared: more would not make a guess any surer."""
_GRADE_OF_LENGTH: Final = (0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4)
"""Matches of 2, 3, 4 to 5, 6 to 9, and 10 tokens or more are trusted apart."""
_FIRST_TRUST: Final = (0.25, 0.5, 0.65, 0.85, 0.95)
_LEARNING_RATE: Final = 0.125


class Drafter:
    """Guesses the next tokens of one sequence, and keeps count of how often it was right.

    Every token that is drawn is compared with the guess for it, whether or not the guess was put to
    use, so that the trust in a kind of match is measured at no cost.

    Args:
        tokens: the sequence's own list, which only grows.
    """

    __slots__ = ("_earlier", "_latest", "_length", "_num_seen", "_source", "_tokens", "_trust")

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = tokens
        self._trust = list(_FIRST_TRUST)
        # For each pair of tokens the place that last followed it; for each place, counted from 2
        # on, the one before it that followed the same pair, or 0.
        self._latest: dict[int, int] = {}
        self._earlier = array("i", (0, 0))
        self._num_seen = min(2, len(tokens))
        # While a match is on: the place whose token is the guess, and how many tokens agree up to
        # there. 0: there is none.
        self._source = 0
        self._length = 0

    def follow(self) -> None:
        """Take in the tokens drawn since the last call, and look for what they resemble."""
        tokens, latest, earlier = self._tokens, self._latest, self._earlier
        for place in range(self._num_seen, len(tokens)):
            if self._source:
                self._judge(tokens[place])
            pair = tokens[place - 2] << 32 | tokens[place - 1]
            earlier.append(latest.get(pair, 0))
            latest[pair] = place
        self._num_seen = len(tokens)
        if not self._source and len(tokens) >= 2:
            self._search()

    def chances(self, limit: int) -> Iterator[float]:
        """The probability that the first guess is right, that the first two are, and so on."""
        if not self._source:
            return
        chance = 1.0
        for length in range(self._length, self._length + min(limit, MAX_DRAFT)):
            chance *= self._trust[_GRADE_OF_LENGTH[min(length, _MAX_MATCH)]]
            yield chance

    def draft(self, num_tokens: int) -> tuple[int, ...]:
        """The first guesses. A match that reaches the text's end repeats itself from there on."""
        source, period = self._source, len(self._tokens) - self._source
        return tuple([self._tokens[source + i % period] for i in range(num_tokens)])

    def _judge(self, token: int) -> None:
        grade = _GRADE_OF_LENGTH[self._length]
        is_right = self._tokens[self._source] == token
        self._trust[grade] += _LEARNING_RATE * (is_right - self._trust[grade])
        self._source = self._source + 1 if is_right else 0
        self._length = min(self._length + 1, _MAX_MATCH)

    def _search(self) -> None:
        """Among the latest places that follow the last pair, take the one with most before it."""
        tokens = self._tokens
        place = self._latest.get(tokens[-2] << 32 | tokens[-1], 0)
        self._length = 0
        for _ in range(_MAX_CANDIDATES):
            if not place:
                return
            length = self._agreement(place)
            if length > self._length:
                self._source, self._length = place, length
            place = self._earlier[place]

    def _agreement(self, place: int) -> int:
        """Count the tokens before `place` that are those at the end; 0 if no more than known."""
        tokens, known, longest = self._tokens, self._length, min(_MAX_MATCH, place)
        if known and (known >= longest or tokens[place - known - 1] != tokens[-known - 1]):
            return 0
        length = 2  # for these it was found
        while length < longest and tokens[place - length - 1] == tokens[-length - 1]:
            length += 1
        return length
