# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""corpus/schema.json has the catalog, variant by variant and field by field.

The gate `schema` tests that it is a sound schema and decides as the corpus does.
"""

import dataclasses
import json
import unittest
from typing import Any

from axon_events import EVENT_TYPES

from . import CORPUS

TYPES: dict[Any, Any] = {
    str: {"type": "string"},
    int: {"$ref": "#/$defs/u64"},
    bool: {"type": "boolean"},
}


class Schema(unittest.TestCase):
    def test_it_is_the_catalog(self) -> None:
        schema = json.loads((CORPUS / "schema.json").read_bytes())
        self.assertEqual(schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
        names = [cls.__name__ for cls in EVENT_TYPES.values()]
        self.assertEqual(schema["oneOf"], [{"$ref": f"#/$defs/{name}"} for name in names])
        definitions = schema["$defs"]
        self.assertEqual(list(definitions), ["u64", *names])
        self.assertEqual(
            definitions["u64"], {"type": "integer", "minimum": 0, "maximum": 18446744073709551615}
        )
        for cls in EVENT_TYPES.values():
            with self.subTest(cls.__name__):
                definition = definitions[cls.__name__]
                self.assertEqual(definition["type"], "object")
                fields = {field.name: TYPES[field.type] for field in dataclasses.fields(cls)}
                self.assertEqual(
                    list(definition["properties"].items()),
                    [("kind", {"const": cls.kind}), *fields.items()],
                )
                self.assertEqual(definition["required"], ["kind", *fields])

    def test_the_cases_that_it_names_exist(self) -> None:
        schema = json.loads((CORPUS / "schema.json").read_bytes())
        named = schema["description"].partition("cannot tell: ")[2].removesuffix(".").split(", ")
        cases = json.loads((CORPUS / "decode.json").read_bytes())["cases"]
        self.assertGreater(len(named), 20)
        self.assertLessEqual(set(named), {case["name"] for case in cases})


if __name__ == "__main__":
    unittest.main()
