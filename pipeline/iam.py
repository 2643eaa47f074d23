"""Who is allowed what, out of pipeline.toml: the policies for set-up, CI and promotion, and the role for promotion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.adapters.stack import template
from pipeline.adapters.template_file import parsed
from pipeline.config import Settings
from pipeline.locations import Location, Place, Share
from pipeline.model.permissions import (
    Grounds,
    Policy,
    Scope,
    ci_policy,
    deputy_policy,
    in_portions,
    promotion_policy,
)
from pipeline.model.setup_permissions import setup_policy
from pipeline.model.verdict import Reason
from pipeline.names import (
    baseline_service_name,
    cluster_name,
    is_compared,
    service_name,
    signing_alias,
    table_name,
    trusted_aliases,
)
from pipeline.reach import regions_of

_LARGEST = 51_200


def bears_role(location: Location, environment: str) -> bool:
    """Whether the environment's role for promotion is kept there: in its first region, for all of its regions."""
    return location.settings.cloud.region == regions_of(location.settings, environment)[0]


def promotion_template(location: Location, environment: str) -> str:
    """The template of the environment's role for promotion, with what it may do.

    What IAM does not let be written into one role – ten services or so – becomes policies that are attached to it.
    """
    told = dict(parsed(template("promotion")))
    scope = replace(_reached(location, environment), account="${a}", partition="${p}")
    inline, *others = map(_substituted, in_portions(scope, *_promoted(location, environment)))
    role = told["Resources"]["PromotionRole"]["Properties"]
    role["Policies"] = [{"PolicyName": "promote", "PolicyDocument": inline}]
    attached = {
        f"Services{number}": {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"PolicyDocument": policy, "Roles": [{"Ref": "PromotionRole"}]},
        }
        for number, policy in enumerate(others, 2)
    }
    return json.dumps({**told, "Resources": {**told["Resources"], **attached}}, separators=(",", ":"))


def too_large(location: Location, environment: str) -> list[Reason]:
    """Why the environment's role for promotion cannot be made: CloudFormation takes no template of that size."""
    if location.service or not bears_role(location, environment):
        return []
    found = len(promotion_template(location, environment))
    if found <= _LARGEST:
        return []
    return [
        Reason(
            f"the role for promotion of {environment} is about {len(location.parts)} services: "
            f"its template has {found:,} characters, and CloudFormation takes {_LARGEST:,}",
            "shorten app.name and the names in [services], or release fewer services as one",
        )
    ]


def _promoted(location: Location, environment: str) -> tuple[list[Grounds], list[str]]:
    """The services that a promotion is about, and the roles that it assumes to ask what they are compared with."""
    settings = location.settings
    asked = _roles(settings, ["prod"]) if is_compared(settings, environment) else []
    own = settings.environments[environment].role_arn
    return _grounds(location, environment), [role for role in asked if role != own]


def _reached(location: Location, environment: str) -> Scope:
    """All regions of an environment, and of the repositories that its images are copied from and to."""
    settings = location.settings
    regions = regions_of(settings, environment)
    pulled = [Location.at(settings, one, Share.NOTHING, location.home).images(environment) for one in regions]
    several = len(regions) > 1
    return replace(
        _scope(location),
        region="*" if several else regions[0],
        images=tuple(dict.fromkeys([location.home, *pulled])),
        regions=regions if several else (),
    )


_KNOWN = {"a": {"Ref": "AWS::AccountId"}, "p": {"Ref": "AWS::Partition"}}
"""What CloudFormation knows of itself, under names so short that many ARNs fit into a template."""


def _substituted(node: Any) -> Any:
    """The same, with account and partition put in by CloudFormation: into a list of ARNs all at once."""
    if isinstance(node, str):
        return {"Fn::Sub": [node, _KNOWN]} if "${a}" in node else node
    if isinstance(node, dict):
        return {key: _substituted(value) for key, value in node.items()}
    if all(isinstance(one, str) and "${a}" in one for one in node):
        return {"Fn::Split": [",", {"Fn::Sub": [",".join(node), _KNOWN]}]}
    return [_substituted(one) for one in node]


def policies(settings: Settings, places: Sequence[Place]) -> dict[str, Any]:
    """IAM policies as JSON values: for `setup`, for `ci`, and for `promote` by environment, in the region of [cloud].

    `regions` has those for every other region, and for an environment's own profile or role; it is not there where
    there is none. That for promotion is where the environment's first region is, and is for all of its regions; who
    is to assume a role for it is allowed to. Nothing is asked of AWS: every account is `*`.
    """
    home = Location.whole(settings)
    found: dict[_Identity, list[str]] = {_Identity(settings.cloud.region): []}
    for name, region in places:
        own = settings.environments[name]
        found.setdefault(_Identity(region, own.profile, own.role_arn), []).append(name)
    here, *others = found.items()
    away = [
        {**asdict(identity), "environments": names, **_policies(identity.location(settings), names)}
        for identity, names in others
    ]
    names = list(dict.fromkeys(name for name, _ in places))
    found_here = _policies(home, here[1], _roles(settings, names))
    return {
        "setup": found_here["setup"],
        "ci": ci_policy(_scope(home)),
        "promote": {**found_here["promote"], **_deputies(home, names)},
        **({"regions": away} if away else {}),
    }


@dataclass(frozen=True, slots=True)
class _Identity:
    region: str
    profile: str = ""
    role_arn: str = ""

    def location(self, settings: Settings) -> Location:
        return Location.at(settings, self.region, Share.REPOSITORY)


def _policies(location: Location, environments: Sequence[str], roles: Sequence[str] = ()) -> dict[str, Any]:
    services = [one for name in environments for one in _grounds(location, name)]
    return {
        "setup": setup_policy(_scope(location), services, roles),
        "promote": {
            name: promotion_policy(_reached(location, name), *_promoted(location, name))
            for name in environments
            if bears_role(location, name)
        },
    }


def _roles(settings: Settings, environments: Sequence[str]) -> list[str]:
    """The roles by which environments are reached, each once."""
    told = [settings.environments[name].role_arn for name in environments]
    return [role for role in dict.fromkeys(told) if role]


def _deputies(home: Location, environments: Sequence[str]) -> dict[str, Policy]:
    """For environments that are rolled out to by assuming a role: what is done beside that, by who assumes it."""
    assumed = {name: _roles(home.settings, [name]) for name in environments}
    return {name: deputy_policy(_scope(home), roles) for name, roles in assumed.items() if roles}


def _scope(location: Location) -> Scope:
    settings = location.settings
    return Scope(
        app=settings.app.name,
        region=settings.cloud.region,
        repository=settings.repository,
        table=table_name(settings),
        key=signing_alias(settings),
        trusted=trusted_aliases(settings),
        home=location.home,
    )


def _grounds(location: Location, environment: str) -> list[Grounds]:
    """Every service of an environment, as IAM policies name it."""
    return [_ground(part, environment) for part in location.parts]


def _ground(part: Location, environment: str) -> Grounds:
    settings = part.settings
    compared = is_compared(settings, environment)
    return Grounds(
        settings.app.name,
        environment,
        cluster_name(settings, environment),
        service_name(settings, environment),
        loaded=environment == "staging",
        beside=baseline_service_name(settings) if environment == "staging" else "",
        asks=(cluster_name(settings, "prod"), service_name(settings, "prod")) if compared else None,
    )
