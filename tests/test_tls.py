"""PostgreSQL over TLS, with a certificate of our own: the driver's waiting and cancelling, and what a URL asks for."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from db.driver.database import Database
from db.models import Event
from services.shared.database_errors import from_database
from services.shared.errors import Unavailable
from tests.conftest import migrate
from tests.databases import on_postgresql
from tests.infrastructure import lacking, tls_postgres_server

pytestmark = on_postgresql


def _self_signed(host: str) -> tuple[bytes, bytes]:
    """A certificate for a host's address, and its key (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tandem's tests")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A URL that verifies whom it reaches."""
    certificate, key = _self_signed("127.0.0.1")
    root = tmp_path_factory.mktemp("tls") / "root.crt"
    root.write_bytes(certificate)
    with tls_postgres_server(certificate, key) as url:
        if url is None:
            lacking("postgresql", "no initdb and postgres on this machine")
        verified = f"{url}?sslmode=verify-full&sslrootcert={root}"
        migrate(verified)
        yield verified


@pytest.fixture
async def database(backend: str, server: str) -> AsyncIterator[Database]:
    opened = Database(server, pool_size=2)
    yield opened
    await opened.dispose()


async def test_statements_are_encrypted_both_ways(database: Database) -> None:
    encrypted = text("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    async with database.writing() as session:
        assert [row[0] for row in await session.all(encrypted)] == [True]
    assert [row[0] for row in await database.reads.all(encrypted)] == [True]


async def test_answers_and_statements_of_any_size_come_whole(database: Database) -> None:
    """TLS keeps what it has read in a buffer of its own, which no event loop knows of."""
    for size in (0, 1, 8_191, 16_384, 16_385, 70_000, 3_000_000):
        given = "x" * size
        answer = await asyncio.wait_for(database.reads.scalar(select(func.concat(given, "y"))), 5)
        assert len(answer) == size + 1


async def test_many_rows_come_whole(database: Database) -> None:
    rows = await asyncio.wait_for(
        database.reads.all(text("SELECT n, repeat('x', n % 900) FROM generate_series(1, 20000) AS n")), 10
    )
    assert len(rows) == 20_000


async def test_many_sets_of_values_are_written(database: Database) -> None:
    async with database.writing() as session:
        values = {"kind": "x", "entity_type": "x", "entity_id": 1, "actor_method": "system", "changes": {}}
        rows = [values | {"event_id": str(n), "occurred_at": datetime.datetime.now(datetime.UTC)} for n in range(1_200)]
        assert await session.execute(insert(Event), rows) == 1_200


async def test_statement_nobody_waits_for_is_cancelled_over_tls_too(database: Database) -> None:
    task = asyncio.create_task(database.reads.scalar(select(func.pg_sleep(30))))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.wait([task])
    await database.reader.close()  # waits for the cancelling

    running = text("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'")
    assert await database.reads.scalar(running) == 0


@pytest.mark.parametrize("mode", ["sslmode=disable", "sslmode=verify-full&sslrootcert=/dev/null"])
async def test_what_the_url_asks_for_is_not_given_up(server: str, backend: str, mode: str) -> None:
    database = Database(f"{server.partition('?')[0]}?{mode}")
    with pytest.raises(DBAPIError) as failed:
        await database.reads.scalar(text("SELECT 1"))

    assert isinstance(from_database(failed.value), Unavailable)
    await database.dispose()
