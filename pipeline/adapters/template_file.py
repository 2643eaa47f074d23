"""CloudFormation's YAML, with its short functions (!Sub) in the long form (Fn::Sub)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

_SAME = frozenset({"Ref", "Condition"})


def parsed(text: str) -> Mapping[str, Any]:
    """The template as JSON values. Raises yaml.YAMLError when it is none."""
    found: Mapping[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506 – a loader of our own, a safe one's child
    return found


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """Knows every `!Name`."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in _SAME else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _function)
