from array import array

import pytest

from tercet_engine.block_pool import BlockPool, hash_block, hash_salt


def test_blocks_are_taken_in_order_and_counted() -> None:
    pool = BlockPool(num_blocks=4, block_size=2)

    assert pool.allocate(3) == [0, 1, 2]
    assert pool.num_free_blocks == 1


def published(pool: BlockPool, count: int) -> list[int]:
    blocks = pool.allocate(count)
    for block in blocks:
        pool.publish(block, bytes([block]))
    return blocks


def test_released_blocks_are_taken_again_tails_first() -> None:
    pool = BlockPool(num_blocks=3, block_size=2)
    pool.release(published(pool, 3))

    assert pool.allocate(3) == [2, 1, 0]


def test_the_block_released_longest_ago_is_taken_first() -> None:
    pool = BlockPool(num_blocks=3, block_size=2)
    blocks = published(pool, 3)
    pool.release(blocks[1:2])
    pool.release(blocks[0:1])

    assert pool.allocate(2) == [1, 0]


def test_a_block_that_nobody_could_find_again_is_taken_before_all_that_hold_something() -> None:
    pool = BlockPool(num_blocks=3, block_size=2)
    pool.release(published(pool, 2))
    pool.release(pool.allocate(1))  # block 2, never published

    assert pool.allocate(3) == [2, 1, 0]


def test_a_published_block_is_found_while_held_and_after_release() -> None:
    pool = BlockPool(num_blocks=2, block_size=2)
    (block,) = pool.allocate(1)
    pool.publish(block, b"hash")

    assert pool.match([b"hash"]) == [0]
    pool.release([block])
    assert pool.match([b"hash"]) == [0]


def test_a_block_taken_for_something_else_is_forgotten() -> None:
    pool = BlockPool(num_blocks=1, block_size=2)
    (block,) = pool.allocate(1)
    pool.publish(block, b"hash")
    pool.release([block])
    pool.allocate(1)

    assert pool.match([b"hash"]) == []


def test_a_match_ends_at_the_first_unknown_block() -> None:
    pool = BlockPool(num_blocks=3, block_size=2)
    for block, name in zip(pool.allocate(3), (b"a", b"b", b"c"), strict=True):
        pool.publish(block, name)

    assert pool.match([b"a", b"x", b"c"]) == [0]


def test_the_first_block_with_a_content_stays_the_one_that_is_found() -> None:
    pool = BlockPool(num_blocks=2, block_size=2)
    first, second = pool.allocate(2)
    pool.publish(first, b"same")
    pool.publish(second, b"same")

    assert pool.match([b"same"]) == [first]


def test_a_held_block_survives_the_release_by_another_holder() -> None:
    pool = BlockPool(num_blocks=2, block_size=2)
    blocks = pool.allocate(1)
    pool.hold(blocks)
    pool.release(blocks)

    assert pool.num_free_blocks == 1
    pool.check_invariants([blocks])


def test_holding_a_free_block_takes_it_off_the_free_list() -> None:
    pool = BlockPool(num_blocks=2, block_size=2)
    blocks = pool.allocate(1)
    pool.publish(blocks[0], b"hash")
    pool.release(blocks)
    pool.hold(blocks)

    assert pool.allocate(1) == [1]
    assert pool.num_free_blocks == 0


def test_free_blocks_that_would_be_held_do_not_count_as_free() -> None:
    pool = BlockPool(num_blocks=3, block_size=2)
    held, free = pool.allocate(2)
    pool.release([free])

    assert pool.num_free_without([held, free]) == 1


def test_a_hash_depends_on_the_tokens_and_on_every_token_before() -> None:
    hashes = {
        hash_block(b"", [1, 2]),
        hash_block(b"", [2, 1]),
        hash_block(hash_block(b"", [3, 4]), [1, 2]),
    }

    assert len(hashes) == 3


@pytest.mark.parametrize(("num_tokens", "num_blocks"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_tokens_need_as_many_blocks_as_hold_them(num_tokens: int, num_blocks: int) -> None:
    assert BlockPool(num_blocks=8, block_size=4).num_blocks_for(num_tokens) == num_blocks


def test_the_invariant_check_sees_a_block_that_nobody_gave_back() -> None:
    pool = BlockPool(num_blocks=2, block_size=2)
    pool.allocate(1)

    with pytest.raises(AssertionError, match="holders"):
        pool.check_invariants([])


def test_no_salt_stands_for_a_block() -> None:
    """Else who salts with the text of a block's tokens could offer false blocks after it."""
    tokens = list(b"0123456789abcdef")

    assert hash_salt(array("i", tokens).tobytes()) != hash_block(b"", tokens)
