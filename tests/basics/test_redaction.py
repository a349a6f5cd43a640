"""What is masked in a text, and what is not."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evalkit.redaction import KEY_VARIABLE, PERSONAL, Redactor
from tests.basics.planted import AFTER, BEFORE, BETWEEN, CARDS, IBANS, PLANTED, SAMPLES, Planted, grouped, iban

TOKEN = re.compile(r"\[(api_key|token|private_key|email|iban|card|phone|ip):[0-9a-f]{8}\]")


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(key=b"a key of the tests")


@settings(deadline=None, max_examples=400)
@given(planted=PLANTED, before=BEFORE, after=AFTER)
def test_a_planted_datum_is_masked_and_the_text_around_it_stays(
    redactor: Redactor, planted: Planted, before: str, after: str
) -> None:
    counts: Counter[str] = Counter()
    masked = redactor.text(f"{before}{planted.text}{after}", counts)
    assert planted.core not in masked
    shown = before + ("Bearer " if planted.text.startswith("Bearer ") else "")
    assert masked.startswith(shown)
    assert masked.endswith(after)
    assert re.fullmatch(rf"\[{planted.kind}:[0-9a-f]{{8}}\]", masked[len(shown) : len(masked) - len(after)])
    assert counts == {planted.kind: 1}


@settings(deadline=None, max_examples=200)
@given(planted=st.lists(PLANTED, min_size=2, max_size=5), between=BETWEEN)
def test_data_side_by_side_are_all_masked(redactor: Redactor, planted: list[Planted], between: str) -> None:
    counts: Counter[str] = Counter()
    masked = redactor.text(between.join(item.text for item in planted), counts)
    assert [item.core for item in planted if item.core in masked] == []
    assert counts == Counter(item.kind for item in planted)
    assert TOKEN.sub("", masked) == between.join(
        "Bearer " if item.text.startswith("Bearer ") else "" for item in planted
    )


@settings(deadline=None, max_examples=300)
@given(
    planted=st.lists(PLANTED, max_size=3), noise=st.lists(st.text(max_size=10), min_size=3, max_size=3), between=BETWEEN
)
def test_masking_twice_changes_nothing(
    redactor: Redactor, planted: list[Planted], noise: list[str], between: str
) -> None:
    once = redactor.text(between.join([*(item.text for item in planted), *noise]))
    counts: Counter[str] = Counter()
    assert redactor.text(once, counts) == once
    assert not counts


@settings(deadline=None, max_examples=100)
@given(number=CARDS, account=IBANS)
def test_the_same_number_gives_the_same_token_however_it_is_written(
    redactor: Redactor, number: str, account: str
) -> None:
    cards = {redactor.text(text) for text in (number, grouped(number, " "), grouped(number, "-"), grouped(number, "."))}
    assert len(cards) == 1
    assert len({redactor.text(text) for text in (account, grouped(account, " "))}) == 1


def test_the_same_phone_or_mailbox_gives_the_same_token(redactor: Redactor) -> None:
    assert len({redactor.text(text) for text in ("+44 20 7946 0958", "+442079460958", "+44-20-7946-0958")}) == 1
    assert len({redactor.text(text) for text in ("anna@example.com", "Anna@Example.COM")}) == 1
    assert redactor.text("a@example.com and a@example.com") == " and ".join([redactor.text("a@example.com")] * 2)


def spelling(text: str) -> str:
    """What two spellings of one number or address have in common."""
    return re.sub(r"[\s./()-]", "", text.replace("(0)", "")).casefold()


@settings(deadline=None, max_examples=100)
@given(left=PLANTED, right=PLANTED)
def test_other_values_give_other_tokens(redactor: Redactor, left: Planted, right: Planted) -> None:
    assume(spelling(left.text) != spelling(right.text))
    assert redactor.text(left.text) != redactor.text(right.text)


def test_the_kind_is_part_of_the_token(redactor: Redactor) -> None:
    assert redactor.token("email", "x")[7:] != redactor.token("phone", "x")[7:]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_tokens_depend_on_the_key(sample: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    public = Redactor().text(sample.text)
    monkeypatch.setenv(KEY_VARIABLE, "the key of the project")
    own = Redactor().text(sample.text)
    assert own == Redactor(key=b"the key of the project").text(sample.text)
    assert len({public, own, Redactor(key=b"another").text(sample.text)}) == 3
    monkeypatch.setenv(KEY_VARIABLE, "")
    assert Redactor().text(sample.text) == public


def test_the_fingerprint_says_whether_tokens_can_be_compared() -> None:
    same = {
        Redactor(key=b"k").fingerprint,
        Redactor(key=b"k").fingerprint,
        Redactor(key=b"k", secrets=["hunter22"]).fingerprint,
    }
    assert len(same) == 1
    others = {
        Redactor(key=b"other").fingerprint,
        Redactor(key=b"k", keep=["email"]).fingerprint,
        Redactor(key=b"k", personal_data=False).fingerprint,
    }
    assert len(same | others) == 4
    assert not any("hunter22" in value or "other" in value for value in same | others)


def test_kinds_that_are_kept_stay_and_the_others_do_not() -> None:
    text = ", ".join(sample.text for sample in SAMPLES)
    for kind in PERSONAL:
        masked = Redactor(keep=[kind], key=b"k").text(text)
        assert [sample.kind for sample in SAMPLES if sample.core in masked] == [kind]


def test_keys_are_masked_even_where_personal_data_is_not() -> None:
    masked = Redactor(personal_data=False, keep=["api_key", "token", "private_key"]).text(
        ", ".join(sample.text for sample in SAMPLES)
    )
    assert {sample.kind for sample in SAMPLES if sample.core in masked} == set(PERSONAL)


def test_the_kinds_of_personal_data_are_these() -> None:
    assert set(PERSONAL) == {"email", "iban", "card", "phone", "ip"}


SECRET = st.text(string.ascii_letters + string.digits + " .*+?()[]\\$^|{}-", min_size=6, max_size=20)


@settings(deadline=None, max_examples=150)
@given(secrets=st.lists(SECRET, min_size=1, max_size=3), before=st.text(max_size=5), after=st.text(max_size=5))
def test_a_key_in_use_is_masked_wherever_it_stands(secrets: list[str], before: str, after: str) -> None:
    assume(not any("[secret]".find(value) >= 0 for value in secrets))
    redactor = Redactor(secrets=secrets, personal_data=False)
    for secret in secrets:
        masked = redactor.text(f"{before}{secret}{after}")
        assert secret not in masked
        assert "[secret]" in masked


def test_a_key_that_holds_another_is_masked_as_a_whole_and_each_is_counted() -> None:
    counts: Counter[str] = Counter()
    masked = Redactor(secrets=["hunter22", "hunter22-long"]).text("hunter22-long, hunter22xhunter22", counts)
    assert masked == "[secret], [secret]x[secret]"
    assert counts == {"secret": 3}


def test_an_empty_or_tiny_key_masks_nothing() -> None:
    assert Redactor(secrets=["", "a", "12345"]).text("a 12345") == "a 12345"


def test_masking_twice_changes_nothing_whatever_the_key() -> None:
    redactor = Redactor(secrets=["secret"])
    once = redactor.text("my secret!")
    assert redactor.text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "", "plain text", "order K-2071 of 2026-10-05", "at 12:30:45.123", "EUR 1.250.000,00 and 49.90", "+5%",
        "+10 points", "2 x 2 = 4", "version 1.2.3", "v10.20.30-rc.1", "ISBN 978-3-16-148410-0", "room 4-12-16",
        "DE89", "+49", "a@b", "@anna",
        "sk-short", "AKIA123", "Bearer of news", "1234567890123", "4111 1111 1111 1112", "DE88 3704 0044 0532 0130 00",
        "00000000000000000000", "1111 1111 1111 1111", "256.1.1.1", "1.2.3", "1.2.3.4.5", "-----BEGIN CERTIFICATE-----",
        "eyJub3QiOiJhIn0", "[email:5f1c09ab]", "[secret]", "[card:12345678]", "DE00 1234",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(redactor: Redactor, text: str) -> None:
    assert redactor.text(f"see {text} here") == f"see {text} here"


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.uuids(version=4).map(str),
        st.dates().map(str),
        st.datetimes().map(lambda moment: moment.isoformat()),
        st.binary(min_size=32, max_size=32).map(bytes.hex),
        st.integers(-(10**11), 10**11).map(str),
        st.integers(0, 10**9).map(lambda number: f"{number:,}.50"),
    )
)
def test_ids_dates_digests_and_amounts_stay(redactor: Redactor, text: str) -> None:
    assert redactor.text(f"value {text}, next") == f"value {text}, next"


@pytest.mark.parametrize("text", ["+1000", "+1500 points", "+12 500 EUR", "+10 000 000", "+2026"])
def test_an_increase_is_no_phone_number(redactor: Redactor, text: str) -> None:
    assert redactor.text(f"a bonus of {text}") == f"a bonus of {text}"


@pytest.mark.parametrize("text", ["DE00 1234 5678 9012 3456 00", "FR00 1111 2222 3333 4444 5555 666"])
def test_a_part_of_an_account_number_is_no_card(redactor: Redactor, text: str) -> None:
    assert redactor.text(f"pay to {text} now") == f"pay to {text} now"


KEY = "AKIA" + "ABCDEFGH" * 2
AUSTRIA, SPAIN = iban("AT", "1904300234573201"), iban("ES", "21000418450200051332")
SPACED = grouped(SPAIN, " ")
BEARER = "a1" * 15


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("from 203.0.113.77.", "203.0.113"), ("203.0.113.77. Next", "203.0.113"),
        (f"{AUSTRIA} BIC", "19043002"), (f"{AUSTRIA}EUR", "19043002"),
        (f"{SPACED} EUR 100", "2100 0418"), (f"{SPACED} 100", "2100 0418"),
        (f"RG24 2026 1234 {SPACED}", "2100 0418"), (SPAIN.lower(), "21000418"), (grouped(SPAIN, "-"), "2100"),
        ("ref 1234 4111 1111 1111 1111", "1111"), ("12 34 4111 1111 1111 1111", "1111"),
        ("RG24 2026 1234 4111 1111 1111 1111", "1111"), ("4111 1111 1111 1111 2027", "1111"),
        ("No.4111111111111111", "1111"), ("no-4111111111111111", "1111"), ("Tel.+44 20 7946 0958", "7946"),
        ("4111\u00a01111\u00a01111\u00a01111", "1111"), ("4111111111111111EUR", "1111"),
        ("+44\u00a020\u00a07946\u00a00958", "7946"), ("+44\u202f20\u202f7946\u202f0958", "7946"),
        ("+33.1.23.45.67.89", "45"), ("+49 (0)30 / 1234567", "1234567"), ("+44 20 7946 0958 12 34", "7946"),
        ("müller@example.com", "mü"), ("mu\u0308ller@example.com", "mu"), ("anna@müller.example", "anna"),
        ("josé.ruíz@example.com", "jos"), ("o'brien@example.com", "o'"), (f"anna.{'b' * 80}@example.com", "anna"),
        (f"BEARER {BEARER}", BEARER), (f"bearer  {BEARER}", BEARER), (f"api_{KEY}", "ABCDEFGH"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQdGBF\n-----END PGP PRIVATE KEY BLOCK-----", "lQdGBF"),
        (f"x\\n{KEY}", "ABCDEFGH"), (f"x\\n{SPAIN}", "21000418"), ("x\\n4111111111111111", "1111"),
        ("x\\t+44 20 7946 0958", "7946"),
    ],
)  # fmt: skip
def test_no_part_of_the_datum_survives(redactor: Redactor, text: str, rest: str) -> None:
    """What stands around a datum, or inside it, must not leave a stretch (``rest``) of it unmasked."""
    assert rest in text
    assert rest not in TOKEN.sub("", redactor.text(text))


@pytest.mark.parametrize("start", ["AKIA", "ghp_", "sk_live_", "AIza", "hf_"])
def test_two_keys_without_anything_between_them_are_both_masked(redactor: Redactor, start: str) -> None:
    size = {"AKIA": 16, "AIza": 35}.get(start, 40)
    masked = redactor.text(f"{start}{'A' * size}{start}{'B' * size}")
    assert "A" * 8 not in masked
    assert "B" * 8 not in masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("请联系anna@example.com", "anna@example.com"),
        ("l'adresse d'anna@example.com", "anna@example.com"),
        ("'anna@example.com'", "anna@example.com"),
        ("call +44 20 7946 0958. 24 hours", "+44 20 7946 0958"),
        ("paid with 4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
    ],
)
def test_what_stands_around_a_datum_does_not_change_its_token(redactor: Redactor, text: str, masked: str) -> None:
    assert redactor.text(text) == text.replace(masked, redactor.text(masked))


def test_an_accent_gives_the_same_token_however_it_is_stored(redactor: Redactor) -> None:
    assert redactor.text("mu\u0308ller@example.com") == redactor.text("m\u00fcller@example.com")


@pytest.mark.parametrize("text", ["2001:db8::7", "030 1234567"])
def test_addresses_of_version_six_and_national_numbers_stay(redactor: Redactor, text: str) -> None:
    """The documented limit: they look like times, versions and amounts."""
    assert redactor.text(f"from {text}, today") == f"from {text}, today"


def test_a_phone_number_with_the_trunk_zero_is_the_same_number(redactor: Redactor) -> None:
    assert redactor.text("+49 (0)30 1234567") == redactor.text("+49 30 1234567")
