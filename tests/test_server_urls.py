"""URLs of PostgreSQL and Redis: those of other tools work, and a wrong one is a sentence that shows no password."""

from pathlib import Path

import pytest

from signalhub import redis_clients
from signalhub.server_urls import SentinelUrl, build_database_dsn, parse_redis_url
from signalhub.settings import SettingsError, from_env


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgres://me:pw@db/hub", "postgresql://me:pw@db/hub"),
        ("postgresql+asyncpg://me@/hub?host=/run/pg", "postgresql://me@/hub?host=%2Frun%2Fpg"),
        ("postgresql://me:p%40%2F@h1:5433,h2:5434/hub?sslmode=require&target_session_attrs=primary",
         "postgresql://me:p%40%2F@h1:5433,h2:5434/hub?sslmode=require&target_session_attrs=primary"),
        ("postgresql+asyncpg://me@db/hub?ssl=disable", "postgresql://me@db/hub?sslmode=disable"),
        ("postgresql://me@[::1]:5433/hub", "postgresql://me@[::1]:5433/hub"),
    ],
)  # fmt: skip
def test_database_url_of_other_tools_is_read(url: str, dsn: str) -> None:
    assert build_database_dsn(url) == dsn


@pytest.mark.parametrize(
    ("variable", "url", "reason"),
    [
        ("DATABASE_URL", "mysql://me:SECRET@db/hub", "begins with mysql://"),
        ("DATABASE_URL", "me:SECRET@db/hub", "lacks a scheme"),
        ("DATABASE_URL", "postgresql://me:SECRET@db:port/hub", "port that is no number"),
        ("DATABASE_URL", "postgresql://me:SEC/RET@db/hub", "write / as %2F"),
        ("DATABASE_URL", "postgresql://me:SEC@RET@db/hub", "write it as %40"),
        ("DATABASE_URL", "postgresql://me:SEC#RET@db/hub", "write it as %23"),
        ("DATABASE_URL", "postgresql://me:SECRET@[db/hub", "not a valid URL"),
        ("DATABASE_URL", "postgresql://me:SECRET@db/hub?sslmode=full", "sslmode"),
        ("DATABASE_URL", "postgresql://me:SECRET@db/hub?channel_binding=require", "channel_binding"),
        ("DATABASE_URL", "postgresql://me:SECRET@db/hub?sslrootcert=/nowhere/ca.pem", "cannot be read"),
        ("REDIS_URL", "redis-cluster://:SECRET@a:7000,b:7000", "Redis Cluster"),
        ("REDIS_URL", "http://:SECRET@a", "only redis://"),
        ("REDIS_URL", "redis://:SECRET@a:1,b:2/0", "redis+sentinel://"),
        ("REDIS_URL", "redis://:SECRET@a/first", "database that is no number"),
        ("REDIS_URL", "redis+sentinel://:SECRET@a:26379", "lacks a host or a service"),
        ("REDIS_URL", "redis+sentinel://:SECRET@a:x/s", "port that is no number"),
    ],
)  # fmt: skip
def test_unusable_url_is_refused_without_its_password(variable: str, url: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        from_env({f"SIGNALHUB_{variable}": url})
    assert str(refused.value).startswith(f"SIGNALHUB_{variable} ")
    assert reason in str(refused.value)
    assert "SEC" not in str(refused.value)
    assert "RET" not in str(refused.value)


def test_sentinel_url_has_credentials_for_both() -> None:
    url = "rediss+sentinel://me:p%40w@s1:26380,s2/hub/3?sentinel_username=su&sentinel_password=sp&ssl_ca_certs=/ca.pem"
    assert parse_redis_url(url) == SentinelUrl(
        sentinels=(("s1", 26380), ("s2", 26379)),
        service="hub",
        server_url="rediss://me:p%40w@master/3?ssl_ca_certs=%2Fca.pem",
        username="su",
        password="sp",
        uses_tls=True,
    )


@pytest.mark.parametrize("connect", [redis_clients.connect, redis_clients.connect_async])
def test_tls_reaches_master_and_sentinels(connect: object, tmp_path: Path) -> None:
    url = f"rediss+sentinel://me:pw@s1:26380/hub/3?sentinel_password=sp&ssl_ca_certs={tmp_path}/ca.pem"
    client = connect(url, timeout_s=1.0)  # type: ignore[operator]
    master = client.connection_pool.connection_kwargs
    sentinel = client.connection_pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs
    assert (master["username"], master["password"], master["db"]) == ("me", "pw", 3)
    assert (sentinel["host"], sentinel["port"], sentinel["password"]) == ("s1", 26380, "sp")
    assert master["ssl_ca_certs"] == sentinel["ssl_ca_certs"] == f"{tmp_path}/ca.pem"
