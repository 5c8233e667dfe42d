"""Passwords at rest are scrypt's hashes, each with its own salt and its parameters."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tastemaker.dashboard.access import passwords
from tastemaker.dashboard.access.passwords import check_new_password, hash_password, is_password
from tastemaker.errors import TastemakerError

TYPED = some.characters(exclude_characters="\0", exclude_categories=["Cs"])
COST = (passwords._N, passwords._R, passwords._P)


@pytest.fixture(autouse=True, scope="module")
def quick_hashes_in_all_tests() -> Iterator[None]:
    """Let scrypt be as cheap as it can be, also where hypothesis repeats a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_N", 2)
        patch.setattr(passwords, "_P", 1)
        yield


def test_the_stored_form_is_scrypt_with_its_parameters() -> None:
    kind, n, r, p, salt, expected = hash_password("correct horse battery").split("$")
    assert kind == "scrypt"
    found = hashlib.scrypt(
        b"correct horse battery", salt=b64decode(salt), n=int(n), r=int(r), p=int(p), dklen=32
    )
    assert found == b64decode(expected)


def test_the_cost_is_one_of_those_that_owasp_recommends() -> None:
    """OWASP's cheat sheet of password storage lists these of equal strength."""
    assert COST in [(1 << 17, 8, 1), (1 << 16, 8, 2), (1 << 15, 8, 3), (1 << 14, 8, 5), (1 << 13, 8, 10)]


@given(some.text(TYPED, min_size=1, max_size=60), some.text(max_size=60))
def test_only_the_password_itself_is_right(password: str, other: str) -> None:
    stored = hash_password(password)
    assert is_password(password, stored)
    assert hash_password(password) != stored, "each hash has a salt of its own"
    assert not is_password(password + "x", stored)
    assert not is_password(password + "\0", stored)
    assert not is_password(other, None)


def test_a_changed_cost_leaves_old_hashes_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = hash_password("correct horse battery")
    monkeypatch.setattr(passwords, "_N", 4)
    assert is_password("correct horse battery", stored)


def test_composed_and_decomposed_letters_are_one_password() -> None:
    assert is_password("cafe\u0301 de la paix", hash_password("caf\u00e9 de la paix"))


def test_an_unknown_user_costs_the_same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []
    scrypt = hashlib.scrypt

    def counted(*given: object, **more: int) -> bytes:
        costs.append({name: more[name] for name in ("n", "r", "p", "dklen")})
        return scrypt(*given, **more)  # type: ignore[arg-type]

    stored = hash_password("correct horse battery")
    monkeypatch.setattr(hashlib, "scrypt", counted)
    is_password("wrong", stored)
    is_password("wrong", None)
    assert len(costs) == 2
    assert costs[0] == costs[1]


@pytest.mark.parametrize("length", [0, 1, 11, 1_001])
def test_a_length_that_is_not_allowed_is_named(length: int) -> None:
    with pytest.raises(TastemakerError, match=rf"has {length:,} characters, must have 12 to 1,000") as caught:
        check_new_password("p" * length)
    assert "ppp" not in str(caught.value), "no message repeats a password"
    for unseen in ("\0", "\n", "\x1b"):
        with pytest.raises(TastemakerError, match="can't be typed"):
            check_new_password("correct horse battery" + unseen)
    check_new_password("p" * 12)
    check_new_password("p" * 1_000)
