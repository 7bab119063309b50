"""Arguments that keep a tool's schema, from a seeded generator."""

import random
import re
import string

DEPTH = 6
WRITTEN = {
    "email": "someone@example.test",
    "time": "10:11:12Z",
    "uri": "https://example.test/a",
    "uuid": "6f1c1a52-3d0b-4b9e-9f53-0a4f6f1d2c3b",
}


class Unsupported(Exception):
    """A schema that this generator cannot fill."""


class Generator:
    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def arguments(self, schema):
        """Every required argument, and some of the others; how the answer is to look is none of them."""
        return self.object({**schema, "properties": {k: v for k, v in schema["properties"].items() if k != "answer"}}, 0)

    def value(self, schema, depth=0):
        if depth > DEPTH:
            raise Unsupported("too deep")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "allOf" in schema:
            rest = {key: inner for key, inner in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                rest = merged(rest, part)
            return self.value(rest, depth)
        if "anyOf" in schema:
            rest = {key: inner for key, inner in schema.items() if key != "anyOf"}
            return self.value(merged(rest, self.random.choice(schema["anyOf"])), depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self.random.choice(kind)
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        return getattr(self, kind)(schema, depth)

    def object(self, schema, depth):
        required = schema.get("required", [])
        made = {}
        for name, inner in schema.get("properties", {}).items():
            if name in required or self.random.random() < 0.4:
                try:
                    made[name] = self.value(inner, depth + 1)
                except Unsupported:
                    if name in required:
                        raise
        for name in required:
            made.setdefault(name, "x")
        additional = schema.get("additionalProperties")
        while len(made) < schema.get("minProperties", 0):
            made[self.text(6)] = self.value(additional if isinstance(additional, dict) else {"type": "string"}, depth + 1)
        if len(made) > schema.get("maxProperties", len(made)):
            raise Unsupported("too many members")
        return made

    def array(self, schema, depth):
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", least + 3), least + 3)
        count = self.random.randint(max(least, min(1, most)), most)
        made = []
        for _ in range(count * 5):
            value = self.value(schema.get("items", {"type": "string"}), depth + 1)
            if len(made) < count and not (schema.get("uniqueItems") and value in made):
                made.append(value)
        if len(made) < least:
            raise Unsupported("too few elements")
        return made

    def string(self, schema, _):
        least = schema.get("minLength", 0)
        if "pattern" in schema:
            return self.matching(schema["pattern"], least, schema.get("maxLength", 1000))
        if schema.get("format") in WRITTEN:
            return WRITTEN[schema["format"]]
        if schema.get("format") == "date":
            return f"20{self.random.randint(10, 29)}-0{self.random.randint(1, 9)}-1{self.random.randint(0, 9)}"
        if schema.get("format") == "date-time":
            return self.string({"format": "date"}, 0) + "T10:11:12Z"
        return self.text(self.random.randint(max(least, 1), max(least, min(schema.get("maxLength", 12), least + 12))))

    def integer(self, schema, _):
        return self.random.randint(*self.range(schema))

    def number(self, schema, _):
        low, high = self.range(schema)
        return self.random.choice([self.random.randint(low, high), round(self.random.uniform(low, high), 3)])

    def range(self, schema):
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 1001) - 1)
        if "multipleOf" in schema or low > high:
            raise Unsupported("numbers")
        return int(low), int(high)

    def boolean(self, *_):
        return self.random.random() < 0.5

    def null(self, *_):
        return None

    def text(self, length: int) -> str:
        return "".join(self.random.choice(string.ascii_letters + string.digits + "_-") for _ in range(length))

    def matching(self, pattern: str, least: int, most: int) -> str:
        tries = [self.text(max(least, 6)), self.text(max(least, 1)), str(self.random.randint(1, 999)), "1.0", "v1.0"]
        tries += [self.text(12).lower(), "".join(self.random.choices("0123456789abcdef", k=max(least, 24)))]
        tries += ["0" * 40, "#a1b2c3", "a1b2c3", "/a/b", "a.json", "/branches/1.0/categories/guides/a", "https://example.test/a", "a@example.test", "en", "2020-01-01"]
        for text in tries:
            if least <= len(text) <= most and re.search(pattern, text):
                return text
        raise Unsupported(f"pattern {pattern}")


def merged(one, other):
    """Both schemas at once, as far as their members go."""
    both = {**one, **other}
    if "properties" in one and "properties" in other:
        both["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        both["required"] = [*one["required"], *other["required"]]
    if "allOf" in one and "allOf" in other:
        both["allOf"] = [*one["allOf"], *other["allOf"]]
    return both
