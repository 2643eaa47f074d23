from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import config
from pipeline.errors import ConfigurationError, ExitCode
from pipeline.model.policy import parse_duration
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.strategy import Kind, Strategy

SMALL = """
[app]
name = "shop"
[cloud]
provider = "local"
[environments.staging]
[environments.prod]
"""


def test_a_small_file_is_filled_with_defaults() -> None:
    settings = config.parse(SMALL)
    assert settings.repository == "shop"
    assert settings.environments["prod"].desired == 1
    assert settings.load.generator.max_cpu == 0.70


def test_the_projects_own_file_is_right() -> None:
    settings = config.load(Path(__file__).parents[2])
    assert settings.app.name == "petclinic"
    assert settings.gate.prod.staging is not None
    assert settings.gate.prod.staging.limits["requests"].value.min == 1000


def test_six_mistakes_are_six_lines_with_path_and_suggestion() -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.parse(
            """
            [app]
            name = "Shop!"
            prot = 80
            [cloud]
            provider = "locl"
            [environments.staging]
            desired = 0
            [environments.prod]
            [load]
            duration = "20"
            [gate.prod.staging.limits]
            p95_ms = {}
            """
        )
    assert caught.value.exit_code is ExitCode.CONFIGURATION
    first, *lines = caught.value.message.splitlines()
    assert first == "pipeline.toml has 6 mistakes:"
    assert [line.split(":")[0].strip() for line in lines] == [
        "app.name",
        "app.prot",
        "cloud.provider",
        "environments.staging.desired",
        "gate.prod.staging.limits.p95_ms",
        "load.duration",
    ]
    assert "did you mean 'port'" in lines[1]
    assert "did you mean 'local'" in lines[2]
    assert "a limit needs max or min" in lines[4]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a" * 19, "string should have at most 18 characters"),
        ("shop-", "string should match pattern"),
        ("internal", "a load balancer's name must not begin with internal-"),
        ("internal-web", "a load balancer's name must not begin with internal-"),
    ],
)
def test_an_app_has_no_name_by_which_aws_takes_something_amiss(name: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.parse(SMALL.replace('"shop"', f'"{name}"'))
    assert why.lower() in caught.value.message.lower()


@pytest.mark.parametrize("name", ["a" * 18, "shop--web-2", "internals"])
def test_an_app_may_have_any_other_name(name: str) -> None:
    assert config.parse(SMALL.replace('"shop"', f'"{name}"')).app.name == name


def test_an_unknown_key_that_resembles_none_lists_the_keys_that_are() -> None:
    with pytest.raises(
        ConfigurationError, match=r"cloud.zzzzzzzz: no such key \(keys here: provider, region"
    ):
        config.parse(SMALL.replace('provider = "local"', 'provider = "local"\nzzzzzzzz = 1'))


def test_mistakes_inside_lists_and_named_tables_have_their_path() -> None:
    text = (
        SMALL
        + '[[environments.prod.smoke]]\npath = "x"\n[integration.services.db]\nimag = "postgres"\nport = 5432\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        config.parse(text)
    assert "environments.prod.smoke[0].path:" in caught.value.message
    assert "integration.services.db.imag: no such key (did you mean 'image'?)" in caught.value.message
    assert "integration.services.db.image: is missing" in caught.value.message


def test_the_provider_is_never_guessed() -> None:
    with pytest.raises(ConfigurationError, match=r"cloud.provider: is missing"):
        config.parse(SMALL.replace('provider = "local"', ""))


def test_what_is_not_toml_names_the_line() -> None:
    with pytest.raises(ConfigurationError, match="line 2"):
        config.parse("a = 1\nb = = 2")


def test_a_file_that_is_not_there_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "-C DIR" in caught.value.hint


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        config.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("10s", 10), ("5m", 300), ("1.5h", 5400), ("30d", 2592000)]
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["10", 10, 10.0, "", "s", "-5s", "1w", None, "5 s"])
def test_a_duration_needs_its_unit(text: object) -> None:
    with pytest.raises(ValueError, match="unit"):
        parse_duration(text)


def test_a_service_cannot_take_the_candidates_name() -> None:
    with pytest.raises(ConfigurationError, match="the candidate's own"):
        config.parse(SMALL + '[integration.services.app]\nimage = "redis"\nport = 6379\n')


KEYS = """
[[trust]]
name = "ci"
key = "keys/ci.pub"
stages = ["build", "integration", "staging"]
[[trust]]
name = "qa"
key = "awskms:///alias/qa"
stages = ["approval"]
"""


def test_a_file_without_trust_or_evidence_is_right_and_trusts_nobody_else() -> None:
    settings = config.parse(SMALL)
    assert settings.trust == ()
    assert settings.evidence.signer == ""
    assert settings.gate.prod.approval is None
    assert settings.environments["prod"].registry == ""


def test_keys_gates_and_registries_are_read() -> None:
    settings = config.parse(
        SMALL.replace("[environments.prod]", '[environments.prod]\nregistry = "localhost:5001"')
        + KEYS
        + '[evidence]\nsigner = "awskms:///alias/promote"\n'
        + '[gate.prod]\nrevoked = ["SHA256:'
        + "k" * 43
        + '"]\nfrozen = ["Fri 16:00–Mon 08:00 Europe/Berlin"]\n'
        + 'approval = { max_age = "24h", by = ["qa"] }\n'
    )
    assert [(trust.name, trust.stages) for trust in settings.trust] == [
        ("ci", ("build", "integration", "staging")),
        ("qa", ("approval",)),
    ]
    assert settings.gate.prod.approval is not None
    assert settings.gate.prod.approval.max_age == 86400
    assert settings.gate.prod.frozen[0].zone == "Europe/Berlin"
    assert settings.environments["prod"].registry == "localhost:5001"


def test_mistakes_about_keys_and_gates_are_told_all_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.parse(
            SMALL.replace("[environments.prod]", '[environments.prod]\nregistry = "https://localhost:5001"')
            + KEYS.replace('"approval"', '"aproval"').replace('name = "ci"', "nam = 1")
            + '[evidence]\nsigner = "awskms://alias/promote"\n'
            + '[gate.prod]\nrevoked = ["abc"]\nfrozen = ["at night"]\n'
        )
    lines = caught.value.message.splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "environments.prod.registry",
        "evidence.signer",
        "gate.prod.frozen[0]",
        "gate.prod.revoked[0]",
        "trust[0].nam",
        "trust[0].name",
        "trust[1].stages[0]",
    ]
    assert "did you mean 'approval'" in lines[-1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (KEYS.replace('["approval"]', "[]"), "trust[1].stages: a key that may sign nothing"),
        (KEYS.replace('"qa"', '"ci"'), "two keys in [[trust]] are named ci"),
        (KEYS + '[gate.prod]\napproval = { by = ["boss"] }\n', "no trusted key is named 'boss' (ci, qa)"),
        ('[gate.staging]\napproval = { by = ["qa"] }\n', "no trusted key is named 'qa' (this machine)"),
    ],
)
def test_names_of_keys_must_fit_together(more: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.parse(SMALL + more)
    assert said in caught.value.message


STRATEGY = SMALL.replace("[environments.prod]", "[environments.prod.rollout]\n{}")


def test_a_strategy_is_read_with_what_belongs_to_it() -> None:
    text = (
        'strategy = "canary"\nstep_percent = 10\nstep_bake = "10m"\nshift_bake = "5m"\nalarms = ["prod-5xx"]'
    )
    declared = config.parse(STRATEGY.format(text)).environments["prod"].rollout.declared
    assert declared == Strategy(Kind.CANARY, 10.0, 600.0, 300.0, ("prod-5xx",))
    assert config.parse(SMALL).environments["prod"].rollout.declared == Strategy()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('strategy = "rolling"\nstep_percent = 10', "environments.prod.rollout: step_percent is for"),
        (
            'strategy = "canary"\nstep_percent = 101',
            "environments.prod.rollout: step_percent must be 0.1 to 100",
        ),
        ('strategy = "linear"\nstep_percent = 1', "environments.prod.rollout: step_percent must be 3 to 100"),
        (
            'strategy = "canary"\nstep_bake = "90s"',
            "environments.prod.rollout: step_bake must be whole minutes",
        ),
        ('shift_bake = "5m"', "environments.prod.rollout: shift_bake is for"),
        ('strategy = "canari"', "environments.prod.rollout.strategy"),
    ],
)
def test_a_strategy_that_ecs_would_not_take_is_a_mistake_with_its_path(text: str, line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.parse(STRATEGY.format(text))
    assert line in caught.value.message


def test_an_existing_services_names_and_alarms_are_read() -> None:
    more = '[environments.prod]\ncontainer = "Web_1"\nrollout = { alarms = ["shop-5xx"] }\n'
    settings = config.parse(SMALL.replace("[environments.prod]\n", more))
    assert settings.environments.prod.container == "Web_1"
    assert settings.environments.staging.container == "app"
    assert settings.environments.prod.rollout.alarms == ("shop-5xx",)
    with pytest.raises(ConfigurationError, match=r"environments\.prod\.container"):
        config.parse(SMALL.replace("[environments.prod]\n", '[environments.prod]\ncontainer = "no spaces"\n'))


@pytest.mark.parametrize(
    ("load", "mistake"),
    [
        (
            "users = 7",
            "users must be a multiple of twice the processes, half of the users a side: 7 is none, 8",
        ),
        ("users = 9\nprocesses = 4", "9 is none, 8 is"),
        ('users = 9\nprocesses = 4\nbaseline = "none"', "a multiple of the processes: 9 is none, 8 is"),
        ('max_duration = "10s"', "max_duration (10 s) is shorter than min_duration (16 s)"),
        ("relative = { tolerance = 0.3 }", "exclude (0.25) must be above tolerance (0.3)"),
        ("errors = { max_increase = 0.02 }", "exclude (0.02) must be above max_increase (0.02)"),
        ('relative = { percentiles = ["p90"] }', "did you mean 'p99'?"),
        ('baseline = "production"', "did you mean 'prod'?"),
        ("relative = { exclude = inf }", "load.relative.exclude: input should be a finite number"),
        ("relative = { min_delta_ms = inf }", "load.relative.min_delta_ms: input should be a finite number"),
        ("arrivals = inf", "load.arrivals: input should be a finite number"),
        ("spawn_rate = inf", "load.spawn_rate: input should be a finite number"),
        ('every = "0.1s"', "load.every: input should be greater than or equal to 1"),
        ('duration = "0s"', "load.duration: input should be greater than 0"),
    ],
)
def test_a_load_that_cannot_be_compared_is_a_mistake(load: str, mistake: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.parse(SMALL + "[load]\n" + load)
    assert mistake in caught.value.message


def test_the_shape_of_the_load_is_as_told_and_percentiles_are_in_order() -> None:
    told = config.parse(
        SMALL + '[load]\nusers = 9\nprocesses = 3\narrivals = 50\nbaseline = "none"\n'
        'relative = { percentiles = ["p99", "p50", "p99"] }'
    ).load
    assert (told.shape.users, told.shape.processes, told.shape.arrivals) == (9, 3, 50.0)
    assert not told.compares
    assert told.relative.percentiles == ("p50", "p99")


def test_the_rules_of_a_comparison_are_the_told_ones() -> None:
    rules = config.parse(SMALL + '[load]\nevery = "4s"\nerrors = { exclude = 0.05 }').load.rules
    assert (rules.every, rules.exclude_errors, rules.min_duration) == (4.0, 0.05, 16.0)
    assert rules == RelativeRules(every=4.0, exclude_errors=0.05), (
        "defaults are those of the rules themselves"
    )


def workers(text: str) -> config.Settings:
    return config.parse(SMALL + "[load]\nusers = 16\nprocesses = 2\n[load.workers]\n" + text)


def test_processes_are_those_of_each_task_that_loads() -> None:
    assert workers("").load.generators == 2
    told = workers("tasks = 4\ncpu = 2048").load
    assert told.generators == told.shape.processes == 8
    assert workers("tasks = 1\ncpu = 2048").load.generators == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tasks = 4", "2 processes need 2 vCPU in each task: workers.cpu is 1024, 2048 does"),
        ("tasks = 3\ncpu = 2048", r"16 is none, 12 is"),
        ("tasks = 3\ncpu = 2048", r"\(6 in all tasks\)"),
        ('tasks = 4\ncpu = 2048\nstart_timeout = "300s"', "start_timeout"),
    ],
)
def test_tasks_that_cannot_load_as_told_are_a_mistake(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        workers(text)
