from collections.abc import Mapping

import pytest

from tercet_engine import CheckpointError, UnsupportedModel
from tercet_engine.gguf import GgufFile
from tests.oracle.gguf_models import every_type, open_file, tensor
from tests.oracle.gguf_writer import GgufWriter, Tensor


def layouts(tensors: Mapping[str, Tensor]) -> list[str]:
    return [one.layout for one in open_file(GgufWriter({}, tensors)).tensors.values()]


def open_one(type_id: int, shape: tuple[int, ...], num_bytes: int) -> GgufFile:
    writer = GgufWriter({}, {"a": Tensor(type_id, shape, bytes(num_bytes))}, pads_last=False)
    return open_file(writer)


def test_types_are_known_by_their_ids() -> None:
    assert layouts(every_type()) == [
        "f32",
        "f16",
        "q4_0",
        "q8_0",
        "q6_k",
        "bf16",
        "tq1_0",
        "tq2_0",
        "q2_0_g64",
        "pq2_0",
        "ptq1_0",
        "i2_s",
    ]


@pytest.mark.parametrize(("group", "num_bytes"), [(64, 18), (128, 34)])
def test_the_space_tells_how_large_the_groups_of_q2_0_are(group: int, num_bytes: int) -> None:
    one = Tensor(42, (4, 512), bytes(4 * 512 // group * num_bytes))

    assert layouts({"a": one, "b": one}) == [f"q2_0_g{group}"] * 2


def test_groups_of_q2_0_that_the_space_does_not_tell_are_refused() -> None:
    small = Tensor(42, (1, 128), bytes(36))

    with pytest.raises(CheckpointError, match=r"a is Q2_0 .*36 bytes as q2_0_g64 or 34 bytes as"):
        layouts({"a": small, "b": small})


def test_rows_of_64_leave_q2_0_one_layout() -> None:
    assert layouts({"a": Tensor(42, (2, 64), bytes(36))}) == ["q2_0_g64"]


def test_rows_of_i2_s_need_not_be_whole_blocks() -> None:
    assert layouts({"a": Tensor(36, (4, 96), bytes(4 * 96 // 4 + 32))}) == ["i2_s"]


def test_the_last_i2_s_tensor_may_end_with_its_scale() -> None:
    file = open_one(36, (2, 128), 2 * 32 + 4)

    assert file.tensors["a"].num_bytes == 68


@pytest.mark.parametrize("num_bytes", [63, 64, 67, 69, 72])
def test_the_last_i2_s_tensor_may_not_end_elsewhere(num_bytes: int) -> None:
    with pytest.raises(CheckpointError, match="a is I2_S"):
        open_one(36, (2, 128), num_bytes)


def test_only_the_last_i2_s_tensor_may_lack_its_tail() -> None:
    cut = Tensor(36, (2, 128), bytes(64))

    with pytest.raises(CheckpointError, match=r"damaged: a is .* 96 bytes as i2_s; it has .* 64"):
        layouts({"a": cut, "b": tensor(0, 1, 8)})


@pytest.mark.parametrize(
    ("type_id", "message"),
    [
        (12, r"a is Q4_K \(id 12\) \[1, 256\], which is not supported; supported are f32, f16"),
        (38, r"TL1 or IQ4_NL_8_8 \(id 38\)"),
        (39, r"TL2 or MXFP4 \(id 39\)"),
        (135, r"IQ2_BN \(id 135\)"),
        (4_000_000_000, r"of an unknown type \(id 4000000000\)"),
    ],
)
def test_an_unsupported_type_is_refused_by_its_names(type_id: int, message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        open_one(type_id, (1, 256), 100)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": Tensor(8, (2, 33), bytes(100))}, "a is Q8_0 .* cannot be cut into blocks of 32"),
        ({"a": Tensor(36, (3, 64), bytes(99))}, "a is I2_S .* cannot be cut into blocks of 128"),
        ({"a": Tensor(0, (8,), bytes(32), offset=32)}, "a follows a gap"),
        (
            {"a": tensor(0, 1, 8), "b": Tensor(0, (8,), bytes(32), offset=33)},
            "b begins at byte 33 of the data, which is no multiple of 32",
        ),
        (
            {"a": tensor(0, 1, 16), "b": Tensor(0, (8,), bytes(32), offset=32)},
            "a is F32 .* 64 bytes as f32; it has a space of 32",
        ),
        (
            {"a": tensor(0, 1, 8), "b": Tensor(0, (8,), bytes(32), offset=64)},
            "a is F32 .* 32 bytes as f32; it has a space of 64",
        ),
        (
            {"a": tensor(0, 1, 8), "b": Tensor(0, (8,), bytes(32), offset=0)},
            "a and b begin at the same byte",
        ),
        (
            {"a": tensor(0, 1, 8), "b": Tensor(0, (8,), b"", offset=32)},
            "truncated: b begins at byte 32 of the data, of which there are 32",
        ),
        (
            {"a": Tensor(0, (8,), b"", offset=2**64 - 32)},
            "a follows a gap",
        ),
        ({"a": Tensor(0, (8,), bytes(64))}, "a is F32 .* it has a space of 64"),
        ({"a": Tensor(0, (9,), bytes(32))}, "truncated: a is F32 .* 32 are left"),
        ({"a": Tensor(0, (2**61,), bytes(32))}, "truncated: a is F32"),
    ],
)
def test_a_tensor_that_does_not_fit_its_place_is_named(
    tensors: Mapping[str, Tensor], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        open_file(GgufWriter({}, tensors))


def test_tensors_may_be_listed_in_another_order_than_they_lie() -> None:
    tensors = {
        "late": Tensor(0, (8,), b"b" * 32, offset=32),
        "early": Tensor(0, (8,), b"a" * 32, offset=0),
    }
    file = open_file(GgufWriter({}, tensors))

    assert list(file.tensors) == ["early", "late"]
    assert file.tensors["early"].offset + 32 == file.tensors["late"].offset
