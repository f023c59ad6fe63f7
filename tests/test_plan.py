"""The plan's files: one for each kind, the same to Python as to the core."""

from __future__ import annotations

from typing import NoReturn, get_args

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nexus_gateway import _core, plan
from tests.harness import plan_examples as examples

PUBLIC_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)
FILES = sorted(examples.FOLDER.glob("*.json"))


def tags(union: object) -> set[str]:
    return {str(member.__struct_config__.tag) for member in get_args(union)}


def test_every_example_is_a_file_and_every_file_an_example() -> None:
    assert {file.stem for file in FILES} == set(examples.EXAMPLES)


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_a_file_holds_its_example_byte_for_byte(name: str) -> None:
    written = (examples.FOLDER / f"{name}.json").read_bytes()

    assert written == examples.EXAMPLES[name].to_json() + b"\n"


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_a_file_decodes_to_its_example(name: str) -> None:
    written = (examples.FOLDER / f"{name}.json").read_bytes()

    assert msgspec.json.decode(written, type=plan.Plan) == examples.EXAMPLES[name]


def test_every_kind_has_a_file() -> None:
    assert tags(plan.Step) == set(examples.STEPS)
    assert tags(plan.Scalar) == set(examples.SCALARS)
    assert tags(plan.Terminal) == set(examples.TERMINALS)
    assert set(plan.Layers.__struct_fields__) == set(examples.LAYERS)


@pytest.mark.parametrize("name", examples.STEPS)
def test_the_file_of_a_step_has_that_step(name: str) -> None:
    steps = examples.STEPS[name].routes[0].steps

    assert name in {step.__struct_config__.tag for step in steps}


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_the_core_can_execute_every_example(name: str) -> None:
    async def show(values: object) -> None: ...

    def never(*values: object) -> NoReturn:
        raise NotImplementedError

    bridge = _core.Bridge(
        claims=never, trace=never, reply=object, encode=never, refuse=never, pump=never
    )
    endpoint = _core.Endpoint(show, None, None, "show()")
    secrets = {"jwt-secret": b"x" * 32, "public": PUBLIC_KEY}
    encoded = msgspec.json.encode(examples.EXAMPLES[name])

    assert _core.Core(encoded, secrets, [endpoint], bridge).metrics()


def test_an_unknown_field_is_refused() -> None:
    text = b'{"version":1,"routes":[],"guards":[]}'

    with pytest.raises(msgspec.ValidationError, match="unknown field `guards`"):
        msgspec.json.decode(text, type=plan.Plan)


def test_an_unknown_kind_of_step_is_refused() -> None:
    text = b'{"op":"teleport"}'

    with pytest.raises(msgspec.ValidationError, match="Invalid value 'teleport'"):
        msgspec.json.decode(text, type=plan.Step)
