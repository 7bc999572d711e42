"""The KV cache's blocks: who holds them, and which of the free ones still hold something useful.

Held + free = all. A block is known by the hash of its tokens chained to its parent's, so equal
hashes mean equal prefixes; the hash is cryptographic because a collision would let one client's
prompt be answered from another's keys and values.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence


def hash_block(parent: bytes, tokens: Sequence[int]) -> bytes:
    """Identify a block by its tokens and, through `parent`, by every token before them."""
    return hashlib.blake2b(parent + array("i", tokens).tobytes(), digest_size=16).digest()


def hash_salt(salt: bytes) -> bytes:
    """Stand for a salt as the parent of first blocks, which no block's own hash can be."""
    return hashlib.blake2b(salt, digest_size=16, person=b"salt").digest()


class BlockPool:
    """A fixed set of reference-counted blocks.

    A block whose count falls to zero joins the end of the free list but keeps its content, so a
    later prompt with the same prefix can take it back; one that nobody could find again joins the
    front. Taking from the front of the list is therefore both allocation and least-recently-used
    eviction.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._ref_counts = [0] * num_blocks
        self._hashes: list[bytes | None] = [None] * num_blocks
        self._cached: dict[bytes, int] = {}
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(num_blocks))

    @property
    def num_free_blocks(self) -> int:
        """Blocks that nobody holds, remembered ones among them."""
        return len(self._free)

    def num_blocks_for(self, num_tokens: int) -> int:
        """Blocks that `num_tokens` need."""
        return -(-num_tokens // self.block_size)

    def match(self, hashes: Iterable[bytes]) -> list[int]:
        """Find the longest run of remembered blocks. Changes nothing: hold them to rely on them."""
        blocks = []
        for block_hash in hashes:
            if (block := self._cached.get(block_hash)) is None:
                break
            blocks.append(block)
        return blocks

    def num_free_without(self, blocks: Iterable[int]) -> int:
        """Count the blocks that are free and would stay so if `blocks` were held."""
        return len(self._free) - sum(self._ref_counts[block] == 0 for block in blocks)

    def hold(self, blocks: Iterable[int]) -> None:
        """Count one holder more for each of `blocks`."""
        for block in blocks:
            if self._ref_counts[block] == 0:
                del self._free[block]
            self._ref_counts[block] += 1

    def allocate(self, count: int) -> list[int]:
        """Take free blocks, those released longest ago first, and forget their content."""
        assert count <= len(self._free), "the scheduler checks before it allocates"
        blocks = [self._free.popitem(last=False)[0] for _ in range(count)]
        for block in blocks:
            self._forget(block)
            self._ref_counts[block] = 1
        return blocks

    def publish(self, block: int, block_hash: bytes) -> None:
        """Offer a full block to later prompts. The first block with a given content wins."""
        assert self._ref_counts[block] > 0
        if block_hash not in self._cached:
            self._cached[block_hash] = block
            self._hashes[block] = block_hash

    def release(self, blocks: Sequence[int]) -> None:
        """Count one holder less for each of `blocks`."""
        for block in reversed(blocks):  # tails are evicted before the prefixes they extend
            self._ref_counts[block] -= 1
            if self._ref_counts[block] == 0:
                self._free[block] = None
                if self._hashes[block] is None:  # there is nothing to be found in it
                    self._free.move_to_end(block, last=False)

    def check_invariants(self, held: Iterable[Sequence[int]]) -> None:
        """Raise unless reference counts, the free list and the index all agree with `held`."""
        counts = [0] * self.num_blocks
        for blocks in held:
            for block in blocks:
                counts[block] += 1
        assert counts == self._ref_counts, "a block's count differs from its holders"
        assert set(self._free) == {b for b, n in enumerate(counts) if n == 0}, "the free list errs"
        assert all(self._hashes[b] == h for h, b in self._cached.items()), "the index errs"
        assert len(self._cached) == sum(h is not None for h in self._hashes), "the index errs"

    def _forget(self, block: int) -> None:
        if (block_hash := self._hashes[block]) is not None:
            del self._cached[block_hash]
            self._hashes[block] = None
