# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What pydantic gets when it asks an event's class how to read, write and describe it.

pydantic reads and writes events by the wire form, as `from_dict` and `to_dict` do. The hooks of the
catalog's base import this module when pydantic calls them: it needs the codec, which the catalog
must not import, and the catalog stays as short as the Rust enum.
"""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from ._catalog import EVENT_TYPES, Event, FlowExecutionEvent
from ._checked import U64_MAX, is_utf8
from ._codec import from_dict, to_dict
from ._strict import DecodeError, describe

__all__ = ["core_schema_of", "json_schema_of"]


def core_schema_of(cls: type[FlowExecutionEvent], handler: Any) -> Any:
    """Return pydantic's core schema of a variant, or, of the base, that of any variant.

    - `handler`: pydantic's `GetCoreSchemaHandler`.
    """
    from pydantic_core import core_schema as make  # type: ignore[import-not-found,unused-ignore]

    def validate(value: Any, _: object) -> FlowExecutionEvent:
        if isinstance(value, cls):
            return value
        members = to_dict(value) if isinstance(value, get_args(Event)) else value
        try:
            if cls is not FlowExecutionEvent:
                _require_kind(cls.kind, members)
            return from_dict(members)
        except DecodeError as error:
            raise _validation_error(cls, error, members) from None

    # The errors of a union call each choice by the name of its function.
    validate.__name__ = cls.__name__
    return make.no_info_wrap_validator_function(
        validate,
        # It never validates: JSON Schemas and discriminated unions are made from it.
        _shape_of(cls, make, handler),
        ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
        serialization=make.plain_serializer_function_ser_schema(to_dict),
    )


def json_schema_of(cls: type[FlowExecutionEvent], schema: Any, handler: Any) -> Any:
    """Return the JSON Schema that pydantic makes of a core schema, with title and description.

    - `schema`: what `core_schema_of` has returned.
    - `handler`: pydantic's `GetJsonSchemaHandler`.
    """
    found = handler(schema)
    handler.resolve_ref_schema(found).update(title=cls.__name__, description=inspect.getdoc(cls))
    return found


def _require_kind(kind: str, members: object) -> None:
    """Raise DecodeError, in a few words, if a mapping has another `kind`.

    A union asks each of its classes. The error of the one that was meant must stand out.
    """
    if isinstance(members, Mapping) and "kind" in members and members["kind"] != kind:
        message = f"expected {kind}, got {describe(members['kind'])}"
        raise DecodeError("kind-mismatch", message, field="kind")


def _validation_error(cls: type[FlowExecutionEvent], error: DecodeError, members: Any) -> Any:
    """Return pydantic's error for a DecodeError, located at its field if it has one."""
    from pydantic_core import PydanticCustomError, ValidationError

    has_field = isinstance(members, Mapping) and error.field in members
    faulty = members[error.field] if has_field else members
    reason: Any = error.reason
    message: Any = error.message
    return ValidationError.from_exception_data(
        cls.__name__,
        [
            {
                "type": PydanticCustomError(reason, message),
                "loc": () if error.field is None else (error.field,),
                "input": faulty if _is_plain(faulty) else describe(faulty),
            }
        ],
    )


def _is_plain(value: object) -> bool:
    """Tell whether any JSON can hold a value.

    FastAPI answers 422 with the input in it, but 500 if that has a NaN or a lone surrogate.
    """
    return (
        value is None
        or isinstance(value, (bool, int))
        or (isinstance(value, str) and is_utf8(value))
    )


def _shape_of(cls: type[FlowExecutionEvent], make: Any, handler: Any) -> Any:
    """Return the core schema of the mapping that holds a variant, or any variant."""
    if cls is FlowExecutionEvent:
        choices = {kind: handler.generate_schema(cls) for kind, cls in EVENT_TYPES.items()}
        return make.tagged_union_schema(choices, discriminator="kind")
    types: dict[Any, Any] = {
        str: make.str_schema(),
        int: make.int_schema(ge=0, le=U64_MAX),
        bool: make.bool_schema(),
    }
    members = {"kind": make.literal_schema([cls.kind])}
    members |= {field.name: types[field.type] for field in fields(cls)}
    return make.typed_dict_schema(
        {name: make.typed_dict_field(schema, required=True) for name, schema in members.items()},
        extra_behavior="allow",
    )
