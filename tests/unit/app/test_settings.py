from __future__ import annotations

import pytest

from app.settings import SettingsError, read_settings

URL = "postgresql://clinic:s3%40cret@db.internal:5432/clinic"


def test_only_the_database_is_required() -> None:
    settings = read_settings({"DATABASE_URL": URL})
    assert (settings.port, settings.drain_seconds, settings.log_level) == (8080, 5.0, "INFO")
    assert (settings.digest, settings.commit) == (None, None)


def test_everything_is_taken_from_the_environment() -> None:
    settings = read_settings(
        {
            "DATABASE_URL": URL,
            "PORT": "9000",
            "DRAIN_SECONDS": "0.5",
            "LOG_LEVEL": "warning",
            "APP_DIGEST": "sha256:abc",
            "APP_COMMIT": "c0ffee",
        }
    )
    assert (settings.port, settings.drain_seconds, settings.log_level) == (9000, 0.5, "WARNING")
    assert (settings.digest, settings.commit) == ("sha256:abc", "c0ffee")


def test_an_empty_digest_is_no_digest() -> None:
    assert read_settings({"DATABASE_URL": URL, "APP_DIGEST": ""}).digest is None


@pytest.mark.parametrize("environment", [{}, {"DATABASE_URL": ""}, {"DATABASE_URL": "  "}])
def test_a_missing_database_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        read_settings(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "²"),
        ("DRAIN_SECONDS", "-1"),
        ("DRAIN_SECONDS", "nan"),
        ("DRAIN_SECONDS", "inf"),
        ("DRAIN_SECONDS", "soon"),
        ("LOG_LEVEL", "LOUD"),
        ("DATABASE_URL", "mysql://clinic@db/clinic"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({"DATABASE_URL": URL, name: value})


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"PORT": "x", "DRAIN_SECONDS": "x", "LOG_LEVEL": "x"})
    assert all(name in str(caught.value) for name in ("DATABASE_URL", "PORT", "DRAIN_SECONDS", "LOG_LEVEL"))


def test_the_text_about_an_unreadable_url_does_not_repeat_it() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"DATABASE_URL": "postgresql://clinic:hunter2%zz@db/clinic"})
    assert "hunter2" not in str(caught.value)
    assert "DATABASE_URL" in str(caught.value)


def test_the_password_is_in_no_repr() -> None:
    shown = repr(read_settings({"DATABASE_URL": URL}))
    assert "cret" not in shown


def test_every_spelling_of_the_password_is_a_secret() -> None:
    assert {"s3%40cret", "s3@cret", URL} <= set(read_settings({"DATABASE_URL": URL}).secrets)


def test_a_password_in_the_query_is_a_secret() -> None:
    settings = read_settings({"DATABASE_URL": "postgresql://db/clinic?user=clinic&password=hunter2"})
    assert "hunter2" in settings.secrets


def test_no_password_means_that_only_the_url_is_secret() -> None:
    assert read_settings({"DATABASE_URL": "postgresql://db/clinic"}).secrets == ("postgresql://db/clinic",)
