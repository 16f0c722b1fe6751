import pytest

from quire.api.guard import host_name, is_loopback
from tests.api.hosts import FakeHost
from tests.api.test_server import JSON, client


@pytest.mark.parametrize(
    ("host_header", "status"),
    [
        ("127.0.0.1:7000", 200),
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("[::1]:7000", 200),
        ("127.9.9.9", 200),
        ("quire.lan:7000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example:127.0.0.1", 403),
        ("192.168.1.5:7000", 403),
        ("", 403),
    ],
)
def test_only_our_own_names_are_answered(host: FakeHost, host_header: str, status: int) -> None:
    assert client(host).get("/", headers={"Host": host_header}).status_code == status
    operation = client(host).post("/api/listIdentities", json={}, headers={**JSON, "Host": host_header})
    assert operation.status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1:7000", 200),
        ("http://127.0.0.1:7001", 403),
        ("http://localhost:7000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_only_our_own_page_may_ask(host: FakeHost, origin: str | None, status: int) -> None:
    headers = JSON if origin is None else {**JSON, "Origin": origin}
    answer = client(host).post("/api/listIdentities", json={}, headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic correct-token",
        "correct-token",
        "Bearer correct-token2",
        "Bearer \xff",
    ],
)
def test_the_token_must_be_known(host: FakeHost, authorization: str) -> None:
    for path in ("/api/listIdentities", "/api/nothing"):
        answer = client(host).post(path, json={}, headers={b"Authorization": authorization.encode("latin-1")})
        assert (answer.status_code, answer.json()["error"]) == (401, "no-token")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_names_of_hosts() -> None:
    assert host_name("[::1]:80") == "::1"
    assert host_name("A.example:80") == "a.example"
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("")
