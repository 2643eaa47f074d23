"""A target group's settings and the listeners that lead to it, through boto3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.errors import PipelineError
from pipeline.model.surroundings import TargetGroup, Unknown

_DELAY = "deregistration_delay.timeout_seconds"
_DEFAULT_DELAY = 300.0


def target_group(elbv2: Any, arn: str) -> TargetGroup | None:
    """The target group of this ARN, None when there is none. `elbv2` is boto3's ELBv2 client."""
    with aws_errors(f"elasticloadbalancing:DescribeTargetGroups {arn}"):
        try:
            group = elbv2.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
        except elbv2.exceptions.TargetGroupNotFoundException:
            return None
    return TargetGroup(
        kind=str(group.get("TargetType") or "instance"),
        interval=float(group["HealthCheckIntervalSeconds"]),
        threshold=int(group["HealthyThresholdCount"]),
        delay=_delay(elbv2, arn),
        weights=_weights(elbv2, arn, group.get("LoadBalancerArns") or ()),
    )


def _delay(elbv2: Any, arn: str) -> float:
    with aws_errors(f"elasticloadbalancing:DescribeTargetGroupAttributes {arn}"):
        told = elbv2.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    return next((float(entry["Value"]) for entry in told if entry["Key"] == _DELAY), _DEFAULT_DELAY)


def _weights(elbv2: Any, arn: str, balancers: Iterable[str]) -> tuple[int, ...] | Unknown:
    """The weights that lead to the group. Rules are asked for only where no listener's default action does."""
    try:
        listeners = [entry for balancer in balancers for entry in _listeners(elbv2, balancer)]
        found = [w for entry in listeners for w in _in_actions(entry.get("DefaultActions") or (), arn)]
        if not any(found):
            rules = [rule for entry in listeners for rule in _rules(elbv2, str(entry["ListenerArn"]))]
            found += [w for rule in rules for w in _in_actions(rule.get("Actions") or (), arn)]
    except PipelineError as error:
        return Unknown(error.message)
    return tuple(found)


def _listeners(elbv2: Any, balancer: str) -> Iterable[Mapping[str, Any]]:
    with aws_errors(f"elasticloadbalancing:DescribeListeners {balancer}"):
        pages = elbv2.get_paginator("describe_listeners").paginate(LoadBalancerArn=balancer)
        return [listener for page in pages for listener in page["Listeners"]]


def _rules(elbv2: Any, listener: str) -> Iterable[Mapping[str, Any]]:
    """The listener's rules but the default one, whose actions the listener itself told."""
    with aws_errors(f"elasticloadbalancing:DescribeRules {listener}"):
        pages = elbv2.get_paginator("describe_rules").paginate(ListenerArn=listener)
        return [rule for page in pages for rule in page["Rules"] if not rule.get("IsDefault")]


def _in_actions(actions: Iterable[Mapping[str, Any]], arn: str) -> list[int]:
    """The weights these actions give the group; a plain forward, or a group without a weight beside it, counts 1."""
    found = []
    for action in actions:
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or ()
        if groups:
            found += [int(g.get("Weight", 1)) for g in groups if g.get("TargetGroupArn") == arn]
        elif action.get("TargetGroupArn") == arn:
            found.append(1)
    return found
