"""What is wrong with a configuration, in one line per problem: key, rule, value."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.options import ModelConfig

CHOICES = {"objective", *(key for key, field in ModelConfig.model_fields.items() if field.discriminator)}
"""Keys whose value is one of several variants, each with options of its own."""

RULES = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "finite_number": "must be a finite number",
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list"),
    **dict.fromkeys(("model_type", "dict_type"), "must be a mapping of keys to values"),
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "needs at least {min_length} item",
    "too_long": "takes at most {max_length} items",
    "literal_error": "must be one of {expected}",
    "missing": "is required",
    "extra_forbidden": "unknown key",
    "model_attributes_type": "must be a name, or a mapping of keys to values",
    "string_pattern_mismatch": "must be letters, digits, '.', '_' or '-' (at most 64, the first a letter or digit)",
    "union_tag_invalid": "must be one of {expected_tags}",
}
"""pydantic's kinds of error in our words; the others are said as pydantic says them."""


def explain(error: ValidationError, source: str) -> list[str]:
    """pydantic's findings, one line each: source, dotted key, rule, value."""
    findings = error.errors()
    inside = {finding["loc"][:-1] for finding in findings}
    lines = []
    for finding in findings:
        if finding["type"] == "too_short" and finding["loc"] in inside:
            continue  # pydantic counts the valid items only, and the others have lines of their own
        key = dotted(finding["loc"])
        lines.append(f"{source}: {key + ': ' if key else ''}{rule_and_value(finding)}")
    return lines


def rule_and_value(finding: ErrorDetails) -> str:
    """`must be at least 1, got 0`, from one finding of pydantic's."""
    kind, value = finding["type"], finding["input"]
    context = {
        name: f"{bound:.15g}" if type(bound) is float else bound for name, bound in finding.get("ctx", {}).items()
    }
    rule = RULES[kind].format_map(context) if kind in RULES else finding["msg"].removeprefix("Value error, ")
    if kind == "missing" or "got" in rule or (kind not in RULES and isinstance(value, (dict, BaseModel))):
        return rule
    shown = "null" if value is None else repr(context["tag"] if kind == "union_tag_invalid" else value)
    return f"{rule}, got {shown}{text_in_yaml(value)}"


def text_in_yaml(value: Any) -> str:
    """A hint where YAML 1.1 reads a number as text: with an exponent it needs a dot, and the exponent a sign."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, str) and (number := re.fullmatch(r"([-+]?\d+)(\.\d*)?[eE]([-+]?)(\d+)", item)):
            whole, fraction, sign, exponent = number.groups()
            return f" (text to YAML: write {whole}{fraction or '.0'}e{sign or '+'}{exponent})"
    return ""


def dotted(loc: tuple[int | str, ...]) -> str:
    """pydantic's location as our key; it names the variant of a choice (`objective.iwae.beta`), which is no key."""
    parts = [str(part) for part in loc if part != "[key]"]
    return ".".join(part for before, part in zip(["", *parts], parts) if before not in CHOICES)


class ConfigError(ValueError):
    """Bad input: the message is one line per problem, and names key, rule and value."""
